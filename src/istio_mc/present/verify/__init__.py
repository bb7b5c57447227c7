"""What verify prints."""
