"""Nets that learn: updates, when they stop, and what holds them back."""
