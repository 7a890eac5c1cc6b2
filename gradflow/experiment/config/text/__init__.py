"""Text to values that know where they were written, and mistakes in words."""
