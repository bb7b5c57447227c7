"""Requests through the mesh: the data path, the probe pod, the sample."""
