"""Programs and manifests."""
