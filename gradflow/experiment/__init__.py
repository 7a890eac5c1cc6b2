"""From an experiment file to stored results: read, plan, run, keep."""
