"""Three real Kubernetes clusters on one Linux machine, without Docker."""
