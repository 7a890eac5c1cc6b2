"""What a step of a cell costs: counted and timed."""
