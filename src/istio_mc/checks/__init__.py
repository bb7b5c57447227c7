"""What verify asks of a mesh: records, one runner, one module a topic."""
