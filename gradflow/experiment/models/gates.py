"""Other frameworks' parameters in this program's conventions.

Their rows are stacked in an order of their own, their z keeps the old state where ours takes the
new candidate, and ONNX's coupled gate is i where ours is f. As 1 − σ(a) = σ(−a), also for the hard
sigmoids, those rows change their sign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradflow.core.cells import Cell
from gradflow.core.typing import Array

__all__ = ["KERAS", "ONNX", "PYTORCH", "parameters"]

PYTORCH = {"rnn": "g", "lstm": "ifgo", "gru": "rzg"}
KERAS = {"rnn": "g", "lstm": "ifgo", "gru": "zrg"}
ONNX = {"rnn": "g", "lstm": "iofg", "gru": "zrg"}
"""Row blocks, top to bottom, under our names: the candidate (n, c or h there) is g."""


def parameters(
    cell: Cell, gates: str, U: Array, W: Array, biases: Sequence[Array] = (), **others: Array
) -> dict[str, Array]:
    """Return a cell's parameters ``(1, rows, cols)`` from matrices in another order of gates.

    Parameters
    ----------
    cell : Cell
        The cell they are for.
    gates : str
        The order.
    U, W : array
        ``(gates * H, features)``.
    biases : sequence of arrays
        None, one, or one beside U and one beside W, which are added but for the candidate of a GRU
        that resets after the product.
    others : array
        ``P``, a diagonal peephole ``(3 * H,)`` of i, o, f; ``R``, a projection.
    """
    rows = len(gates) * cell.hidden
    b, b_rec = [_blocks(bias, gates) for bias in (*biases, *[np.zeros(rows)] * 2)][:2]
    groups = {"U": _blocks(U, gates), "W": _blocks(W, gates)}
    wanted = cell.parameters(U.shape[1])
    apart = "b_rec" in wanted
    groups["b"] = {gate: b[gate] + (0 if apart and gate == "g" else b_rec[gate]) for gate in gates}
    groups["b_rec"] = {"g": b_rec["g"]}
    if "P" in others:
        groups["P"] = _blocks(others["P"], "iof")
    for name in ("U", "W", "b"):
        if "z" in gates:
            groups[name]["z"] = -groups[name]["z"]
    if cell.kind == "lstm" and "i" not in cell.gates:
        for group in groups.values():
            if "i" in group:
                group["f"] = -group["i"]
    return {
        name: others[name][None] if name == "R" else _arranged(groups[name], parameter)
        for name, parameter in wanted.items()
    }


def _blocks(stacked: Array, gates: str) -> dict[str, Array]:
    columns = stacked if stacked.ndim == 2 else stacked[:, None]
    return dict(zip(gates, np.split(columns, len(gates)), strict=True))


def _arranged(blocks: Mapping[str, Array], parameter: Any) -> Array:
    return np.concatenate([blocks[gate] for gate in parameter.blocks])[None]
