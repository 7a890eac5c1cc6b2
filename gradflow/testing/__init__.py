"""Conformance of cells, as a public product: does a cell keep what the engine relies on.

>>> from gradflow.testing import check_cell
>>> from gradflow.core.cells import RNN
>>> check_cell(RNN)

Every combination of options is tried; see `gradflow.testing.conformance`.
"""

from __future__ import annotations

from gradflow.core.cells import variants
from gradflow.testing.conformance import Check, check_cell, conformance

__all__ = ["Check", "check_cell", "conformance", "variants"]
