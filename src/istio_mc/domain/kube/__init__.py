"""Kubernetes: objects, kubeconfigs, refusals."""
