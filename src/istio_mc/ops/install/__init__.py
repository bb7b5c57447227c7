"""install and adopt."""
