"""API servers."""
