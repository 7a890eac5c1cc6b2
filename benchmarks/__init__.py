"""gradflow against what one would write instead, on the same work."""
