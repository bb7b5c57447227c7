"""The only doors to the outside: files, processes, API servers, downloads."""
