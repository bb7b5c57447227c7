"""The checks of verify: their definitions, one module per topic, and the runner."""
