"""What a run works with."""
