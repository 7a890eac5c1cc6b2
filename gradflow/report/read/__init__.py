"""What stored results say: curves, rates, verdicts, explanations."""
