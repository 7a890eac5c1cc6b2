"""What a pass over a block of steps leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gradflow.core.cells import State
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array

__all__ = ["Swept", "Taken", "Tape"]


@dataclass
class Tape:
    """What a block of steps leaves behind for the way back.

    Parameters
    ----------
    x : array
        The block's inputs, ``(steps, nets, inputs, columns)``.
    caches : list
        One cache for each step.
    states : list of State
        The state before the block and after each step; only the first where none were asked for.
    """

    x: Array
    caches: list[tuple[Array, ...]] = field(default_factory=list)
    states: list[State] = field(default_factory=list)

    def outputs(self) -> Array:
        """h after each step, ``(steps, nets, hidden, columns)``."""
        return np.stack([state[0] for state in self.states[1:]])


class Taken(NamedTuple):
    """One step of one layer: its input, the states before and after, and the cache."""

    x: Array
    before: State
    after: State
    cache: tuple[Array, ...]


@dataclass(frozen=True)
class Swept:
    """A backward pass over consecutive steps at one exponent; lists run forward in time.

    Parameters
    ----------
    dstates : list of State
        ∂L/∂ of the state after each step, its parts as free inputs of what follows; injections
        included.
    totals : list of State
        The total derivatives of the parts after ``h`` (see `Cell.step_vjp`).
    da : list of array
        ∂L/∂u of each step.
    squares : tuple of array
        Σ m² of each part of `dstates`, ``(steps, ..., nets, columns)``.
    start : int
        Index of the first step in its block.
    exponent : array
        The one exponent of all these arrays.
    before : State
        ∂L/∂ of the state before the first step.
    inject : Scaled or None
        What joined ∂L/∂h after each step from the loss or the layer above, at its own exponent.
    """

    dstates: list[State]
    totals: list[State]
    da: list[Array]
    squares: tuple[Array, ...]
    start: int
    exponent: Array
    before: State
    inject: Scaled | None = None
