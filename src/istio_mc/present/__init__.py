"""Output of results: text for people, documents for programs."""
