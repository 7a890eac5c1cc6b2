"""What needs passes of its own beside the one forward and back."""
