"""The mathematics: cells, the loops over time, scaled adjoints. Knows no file and no screen."""
