"""The regression gate: cases, the baseline, comparison, check."""
