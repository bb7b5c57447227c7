"""Access to this machine: files, child processes, DNS look-ups, signals."""
