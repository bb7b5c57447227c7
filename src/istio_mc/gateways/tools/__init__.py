"""Download, cache and selection of programs and manifests."""
