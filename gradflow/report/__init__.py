"""What is made of stored results: tables, plots, exports and the gate."""
