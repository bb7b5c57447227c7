"""uninstall."""
