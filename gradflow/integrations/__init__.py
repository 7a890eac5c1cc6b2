"""Doors to other programs, each imported by who uses it alone."""
