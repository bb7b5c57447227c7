"""Takes secrets out of what is handed on: by what they are, by what they are called, and by what is known."""
