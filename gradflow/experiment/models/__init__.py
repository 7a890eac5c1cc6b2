"""A user's nets: weights from files, in this program's conventions."""
