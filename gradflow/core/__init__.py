"""The mathematics: cells, the loops over time, scaled adjoints. Knows no file and no screen."""

ENGINE = "1"
"""Version of the numbers: raised whenever a change could move a stored result."""
