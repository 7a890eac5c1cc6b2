"""What a cell declares of itself, asked of a small copy of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradflow.core.cells.base import Carrousel, Cell
from gradflow.core.typing import Array

__all__ = ["carrousel_of", "gates_of"]


def carrousel_of(cell: Cell, local: tuple[Array, ...] | None = None) -> Carrousel:
    """Return the carrousel of a cell at a step, or of a small copy of it at state 0.

    Raises
    ------
    ValueError
        If the cell has none.
    """
    if local is None:
        cell, cache, p = _step(cell)
        local = cell.linearise(p, cache)
    carrousel = cell.carrousel(local)
    if carrousel is None:
        raise ValueError(
            f"{cell.label} has no carrousel: no part of its state is passed on unit by unit, all "
            "of it goes through a matrix"
        )
    return carrousel


def gates_of(cell: Cell) -> tuple[str, ...]:
    """Return the names of the gates that a cell opens and closes.

    Raises
    ------
    ValueError
        If it has none.
    """
    small, cache, _ = _step(cell)
    gates = tuple(small.open_gates(cache))
    if not gates:
        raise ValueError(f"{cell.label} has no gates: nothing between 0 and 1 multiplies its state")
    return gates


def _step(cell: Cell) -> tuple[Cell, tuple[Array, ...], dict[str, Array]]:
    small = replace(cell, hidden=2)
    p = {name: np.zeros((1, *q.shape)) for name, q in small.parameters(1).items()}
    state = tuple(np.zeros((1, 2, 1)) for _ in small.parts)
    _, cache = small.step(p, state, small.drive(p, np.zeros((1, 1, 1))))
    return small, cache, p
