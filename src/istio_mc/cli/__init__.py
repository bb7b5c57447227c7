"""The commands: their Typer signatures, without any logic."""
