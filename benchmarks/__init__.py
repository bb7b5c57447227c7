"""Measures istio-mc beside what it replaces: the published scripts, and istioctl's own `--help`."""
