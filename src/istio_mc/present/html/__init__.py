"""HTML page of the report command."""
