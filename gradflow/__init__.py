"""gradflow: measure how error flows back through recurrent networks."""

from gradflow._version import __version__

__all__ = ["__version__"]
