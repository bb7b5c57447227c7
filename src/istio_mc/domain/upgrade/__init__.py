"""An upgrade: its path, what it changes, what it rolls out and restarts, and what it records."""
