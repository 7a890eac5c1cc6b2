"""What is unrolled, and what is asked of it: stacks of cells, their weights, losses."""
