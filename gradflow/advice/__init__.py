"""What to change so that error survives, searched on the measured rate."""
