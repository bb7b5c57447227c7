"""The CA."""
