"""Pure facts and decisions: no network, no processes, no clock of its own."""
