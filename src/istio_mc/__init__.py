"""Joins Kubernetes clusters of different providers into one Istio mesh, and proves that it works."""

__version__ = "0.1.0"
