"""The loops over time, and the one driver that uses them."""
