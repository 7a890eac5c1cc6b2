"""Tidy rows for other programs."""
