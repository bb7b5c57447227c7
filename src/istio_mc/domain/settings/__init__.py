"""mesh.yaml."""
