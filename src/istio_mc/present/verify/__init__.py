"""Output of the verify command."""
