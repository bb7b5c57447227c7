"""The verbs: Typer signatures and nothing else."""
