"""The loops over time. There are no others.

`unroll` takes a state forward through a block of steps of one cell; `pull_back` takes an adjoint
back through them. Both know one cell and one block; layers, directions and the order of blocks are
the driver's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from gradflow.core.cells import Cell, State
from gradflow.core.scaled import SMALL, Scaled, in_range, square_norms
from gradflow.core.typing import Array, Params

__all__ = ["Swept", "Tape", "pull_back", "unroll"]


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


def unroll(cell: Cell, p: Params, x: Array, state: State, *, keep: bool) -> tuple[Tape, State]:
    """Take the state through the steps of x: s_t, cache_t = step(s_{t−1}, U x_t + b).

    Parameters
    ----------
    cell, p
        The cell and its parameters.
    x : array
        Inputs, ``(steps, nets, inputs, columns)``.
    state : State
        The state before the first step.
    keep : bool
        Whether the states after all steps are kept, for layers above, losses and summands.
    """
    tape = Tape(x, states=[state])
    with np.errstate(over="ignore", invalid="ignore"):
        for u in cell.drive(p, x):
            state, cache = cell.step(p, state, u)
            tape.caches.append(cache)
            if keep:
                tape.states.append(state)
    return tape, state


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
    """

    dstates: list[State]
    totals: list[State]
    da: list[Array]
    squares: tuple[Array, ...]
    start: int
    exponent: Array
    before: State


def pull_back(
    cell: Cell, p: Params, tape: Tape, adjoint: Scaled, inject: Scaled | None
) -> Iterator[Swept]:
    """Take an adjoint back through a block: ds_{t−1}, da_t = step_vjp(ds_t + injection_t).

    Yields one `Swept` for the whole block or, where the adjoint changes by more than the range of
    its mantissas, several, latest first, each at its own exponent.

    Parameters
    ----------
    cell, p, tape
        The cell, its parameters, and what `unroll` left.
    adjoint : Scaled
        ∂L/∂ of the state after the block, through later steps only.
    inject : Scaled or None
        What joins ∂L/∂h at each step from the loss or the layer above,
        ``(steps, ..., nets, hidden, columns)``.
    """
    todo = [(0, len(tape.caches))]
    while todo:
        first, last = todo.pop()
        joining = None if inject is None else _slice(inject, first, last)
        adjoint = adjoint.normalised(None if joining is None else _at_end(joining))
        joined = None if joining is None else joining.at(adjoint.exponent).parts[0]
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            swept = _sweep(cell, p, tape, (first, last), adjoint, joined)
        if last - first > 1 and not in_range(np.sum(swept.squares, axis=0), adjoint.dtype):
            middle = (first + last) // 2
            todo += [(first, middle), (middle, last)]
            continue
        adjoint = Scaled(swept.before, adjoint.exponent)
        yield swept


def _sweep(
    cell: Cell,
    p: Params,
    tape: Tape,
    steps: tuple[int, int],
    adjoint: Scaled,
    inject: Array | None,
) -> Swept:
    """Go back over `steps` at the adjoint's exponent, whatever happens to its range."""
    dstates: list[State] = []
    totals: list[State] = []
    das: list[Array] = []
    dstate = adjoint.parts
    local = linearised(cell, p, tape.caches[slice(*steps)])
    for t in range(len(local) - 1, -1, -1):
        if inject is not None:
            dstate = (dstate[0] + inject[t], *dstate[1:])
        dstates.append(dstate)
        dstate, da, total = cell.step_vjp(p, local[t], dstate)
        das.append(da)
        totals.append(total)
    for each in (dstates, totals, das):
        each.reverse()
    squares = tuple(square_norms(list(part)) for part in zip(*dstates, strict=True))
    return Swept(dstates, totals, das, squares, steps[0], adjoint.exponent, dstate)


def linearised(cell: Cell, p: Params, caches: list[tuple[Array, ...]]) -> list[tuple[Array, ...]]:
    """Local derivatives of each step: in one call over all of them where arrays are small."""
    if not caches[0] or caches[0][0].size >= SMALL:
        return [cell.linearise(p, cache) for cache in caches]
    stacked = cell.linearise(p, tuple(np.stack(arrays) for arrays in zip(*caches, strict=True)))
    return list(zip(*stacked, strict=True))


def _slice(a: Scaled, first: int, last: int) -> Scaled:
    return Scaled((a.parts[0][first:last],), a.exponent[first:last])


def _at_end(a: Scaled) -> Scaled:
    return Scaled((a.parts[0][-1],), a.exponent[-1])
