"""What a pass over a block of steps leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Flag, auto
from functools import cached_property
from typing import Any, NamedTuple, overload

import numpy as np

from gradflow.core.cells import State
from gradflow.core.engine.squares import joint_squares
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array

__all__ = ["Keep", "Stacked", "Swept", "Taken", "Tape", "together"]


class Keep(Flag):
    """What a pass leaves of every step."""

    NOTHING = 0
    LOCAL = auto()
    """The local derivatives: all that the way back needs."""
    STATES = auto()
    """The states, for layers above and losses."""
    CACHES = auto()
    """The caches, for who looks at gates and summands."""
    COTANGENTS = auto()
    """∂L/∂u on the way back, for weights, inputs and layers below."""


class Stacked(Sequence[tuple[Array, ...]]):
    """Tuples of arrays, one for each step, held together: small ones cost less than their objects.

    Parameters
    ----------
    arrays : tuple of array
        Those of all steps, time first.
    """

    def __init__(self, arrays: tuple[Array, ...]) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays[0])

    @overload
    def __getitem__(self, where: int) -> tuple[Array, ...]: ...
    @overload
    def __getitem__(self, where: slice) -> list[tuple[Array, ...]]: ...
    def __getitem__(self, where: int | slice) -> Any:
        """Views of one step, or of several."""
        if isinstance(where, slice):
            return list(zip(*(a[where] for a in self.arrays), strict=True))
        return tuple([a[where] for a in self.arrays])


def together(each: Sequence[tuple[Array, ...]], steps: slice) -> tuple[Array, ...]:
    """Arrays of some steps with time first, views where they are held so."""
    if isinstance(each, Stacked):
        return tuple(a[steps] for a in each.arrays)
    return tuple([piled(arrays) for arrays in zip(*each[steps], strict=True)])


def piled(arrays: Sequence[Array]) -> Array:
    """Arrays of consecutive steps with time first, each laid out in memory as it was."""
    turned = arrays[0].flags.fnc
    each = [a.T for a in arrays] if turned else arrays
    whole = np.concatenate(each).reshape(len(each), *each[0].shape)
    return whole.transpose(0, *range(whole.ndim - 1, 0, -1)) if turned else whole


@dataclass
class Tape:
    """What a block of steps leaves behind for the way back.

    Parameters
    ----------
    x : array
        The block's inputs, ``(steps, nets, inputs, columns)``.
    states : list of State
        The state before the block and, where kept, after each step.
    local, caches : sequence
        The local derivatives and the cache of each step, where kept.
    columns : array of int or None
        The sequences that still run; None: all.
    """

    x: Array
    states: list[State]
    local: Sequence[tuple[Array, ...]] = ()
    caches: Sequence[tuple[Array, ...]] = ()
    columns: Array | None = None

    def outputs(self) -> Array:
        """h after each step, ``(steps, nets, hidden, columns)``."""
        return np.array([state[0] for state in self.states[1:]])


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
        ∂L/∂u of each step, where kept.
    squares : tuple of array
        Σ m² of each part of `dstates`, ``(steps, ..., nets, columns)``.
    total_squares : tuple of array
        The same of `totals`.
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
    total_squares: tuple[Array, ...]
    start: int
    exponent: Array
    before: State
    inject: Scaled | None = None

    @property
    def stop(self) -> int:
        """Index of the step after the last in its block."""
        return self.start + len(self.dstates)

    @cached_property
    def state_squares(self) -> Array:
        """Σ m² over all parts, after each step: ``(steps, ..., nets, columns)``."""
        return sum(self.squares[1:], start=self.squares[0])

    def all_squares(self) -> Array:
        """Σ m² over all parts, before the first step and after each."""
        origin = joint_squares(self.before)[None]
        return np.concatenate([origin, self.state_squares])
