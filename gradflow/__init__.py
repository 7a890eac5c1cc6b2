"""gradflow: measure how error flows back through recurrent networks.

>>> import gradflow
>>> gru = gradflow.configure(model={"cell": "gru"}, inputs={"kind": "noise"}, length=20)
>>> flow = gradflow.run(gru)
>>> flow.get("h").dims
('layer', 'direction', 'sequence', 'step')

Names are imported where they are first used, so that ``import gradflow`` and the command line's
help cost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gradflow._version import __version__

if TYPE_CHECKING:
    from gradflow.api import Flow, check, configure, load, open, run
    from gradflow.core.cells import Cell, register
    from gradflow.core.quantity import Quantity
    from gradflow.errors import ConfigError, GradflowError, NumericalError, UserError
    from gradflow.testing import check_cell

__all__ = [
    "Cell",
    "ConfigError",
    "Flow",
    "GradflowError",
    "NumericalError",
    "Quantity",
    "UserError",
    "__version__",
    "check",
    "check_cell",
    "configure",
    "load",
    "open",
    "register",
    "run",
]

_HOMES = {
    "gradflow.api": ("Flow", "check", "configure", "load", "open", "run"),
    "gradflow.core.cells": ("Cell", "register"),
    "gradflow.core.quantity": ("Quantity",),
    "gradflow.errors": ("ConfigError", "GradflowError", "NumericalError", "UserError"),
    "gradflow.testing": ("check_cell",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gradflow' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
