"""upgrade: a whole mesh to another Istio, one cluster after another, and back."""
