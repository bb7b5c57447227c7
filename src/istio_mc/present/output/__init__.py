"""Output functions that all commands share."""
