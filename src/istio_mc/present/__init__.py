"""How results look to people and to programs."""
