"""Tables for the terminal, and the same rows for programs."""
