"""This machine: files, processes, names."""
