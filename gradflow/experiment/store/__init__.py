"""Results on disk: whole files, a folder for each run, provenance."""
