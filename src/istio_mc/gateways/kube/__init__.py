"""Access to API servers."""
