"""The mesh on one HTML page, made of what verify found and nothing else; opening it needs no network."""
