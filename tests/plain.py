"""Back-propagation through one layer without any scaling: the recursion itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradflow.core.cells import Cell, State
from gradflow.core.engine.scan import drives

Array = np.ndarray[Any, Any]


def back(
    cell: Cell, p: Mapping[str, Array], x: Array, inject: Mapping[int, Array]
) -> tuple[list[State], list[State], list[Array]]:
    """Run forward over x (steps, nets, inputs, columns), then back.

    Parameters
    ----------
    inject : mapping of int to array
        What joins ∂L/∂h at a step, ``(nets, hidden, columns)``.

    Returns
    -------
    states, totals : list
        ∂L/∂s_k and the total derivatives of the parts after h, k = 0..T (totals from 1 on).
    das : list
        ∂L/∂u_k, k = 1..T.
    """
    nets = next(iter(p.values())).shape[0]
    state = tuple(np.zeros((nets, size, x.shape[-1]), x.dtype) for size in cell.sizes)
    caches = []
    with np.errstate(over="ignore"):  # σ of what is far below 0
        for u in drives(cell, p, x, state):
            state, cache = cell.step(p, state, u)
            caches.append(cache)
    adjoint = tuple(np.zeros_like(part) for part in state)
    states, totals, das = [], [], []
    for step in range(len(x), 0, -1):
        if step in inject:
            adjoint = (adjoint[0] + inject[step], *adjoint[1:])
        states.append(adjoint)
        local = cell.linearise(p, caches[step - 1])
        adjoint, da, total = cell.step_vjp(p, local, adjoint)
        totals.append(total)
        das.append(da)
    states.append(adjoint)
    return states[::-1], totals[::-1], das[::-1]
