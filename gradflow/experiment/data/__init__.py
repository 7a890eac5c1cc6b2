"""A user's data: series, tables and texts, read within bounds."""
