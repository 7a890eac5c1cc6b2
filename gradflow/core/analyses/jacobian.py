"""One step's exact derivatives, written out as matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradflow.core.cells import Cell, State, Summand
from gradflow.core.engine.tape import Taken
from gradflow.core.typing import Array, Params

__all__ = ["Jacobian", "jacobian"]


@dataclass(frozen=True)
class Jacobian:
    """Derivatives of a step's next state, all its parts in one: D rows.

    Parameters
    ----------
    state : array
        ∂s_t/∂s_{t−1}, ``(nets, columns, D, D)``.
    x : array
        ∂s_t/∂x_t, ``(nets, columns, D, inputs)``.
    totals : tuple of array
        For each part after ``h``, ∂s_t/∂ of that part of s_t where other parts of the same step
        depend on it (for an LSTM h_t on c_t), ``(nets, columns, D, hidden)``.
    parameters : dict of str to list of array
        ∂s_t/∂θ for each row block of each parameter: ``(nets, columns, D, rows · cols)``.
    """

    state: Array
    x: Array
    totals: tuple[Array, ...]
    parameters: dict[str, list[Array]]


def jacobian(cell: Cell, p: Params, taken: Taken, *, parameters: bool = True) -> Jacobian:
    """Transpose `Cell.step_vjp`: a unit cotangent for each component of s_t gives a row.

    O(D · gates · H²) operations for each column, one call of `step_vjp` in all.
    """
    local = cell.linearise(p, taken.cache)
    units = _units(taken.after)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        before, da, totals = cell.step_vjp(p, local, units)
        dx = cell.drive_vjp(p, da)
        found = {}
        if parameters:
            summands = cell.summands(p, taken.cache, da, taken.before, taken.after, taken.x)
            found = {name: [_block(summand) for summand in each] for name, each in summands.items()}
    state = _rows(np.concatenate(before, axis=-2))
    return Jacobian(state, _rows(dx), tuple(_rows(total) for total in totals), found)


def _units(state: State) -> State:
    """Unit vectors of the joint state, by part: ``(D, nets, hidden, columns)``."""
    ends = np.cumsum([part.shape[1] for part in state])
    eye = np.eye(ends[-1], dtype=state[0].dtype)[:, None, :, None]
    each = np.split(eye, ends[:-1], axis=2)
    return tuple(
        np.broadcast_to(own, (len(eye), *part.shape)) for own, part in zip(each, state, strict=True)
    )


def _rows(a: Array) -> Array:
    """(D, nets, features, columns) → (nets, columns, D, features)."""
    return np.ascontiguousarray(a.transpose(1, 3, 0, 2))


def _block(summand: Summand) -> Array:
    """left ⊗ right of each unit cotangent, flattened: ``(nets, columns, D, rows · cols)``."""
    _, form, left, right = summand
    if right is not None and form == "outer":
        each = left[:, :, :, None] * right[:, None]
    else:
        each = (left if right is None else left * right)[:, :, :, None]
    D, nets, rows, cols, columns = each.shape
    flat: Array = each.transpose(1, 4, 0, 2, 3).reshape(nets, columns, D, rows * cols)
    return flat
