"""Programs and manifests: downloaded, kept, found."""
