"""What is found in a file: recurrent nets and what stands near them, described but not read.

Other frameworks stack rows in an order of their own, their z keeps the old state where ours takes
the new candidate, and ONNX's coupled gate is i where ours is f. As 1 − σ(a) = σ(−a), also for the
hard sigmoids, `parameters` changes the sign of those rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from gradflow.core import cells
from gradflow.core.cells import Cell, State
from gradflow.core.typing import Array, Params

__all__ = ["KERAS", "ONNX", "PYTORCH", "FoundLayer", "FoundNet", "Near", "joined", "parameters"]


@dataclass(frozen=True)
class FoundLayer:
    """One layer of a net in a file.

    Parameters
    ----------
    kind : str
        Kind of cell.
    hidden, inputs : int
        Units, and the features that they read.
    directions : int
        1, or 2 where the layer reads backward as well.
    options : mapping
        Options of the cell, as the file decides them.
    free : tuple of str
        Options of which the file says nothing.
    read : callable
        Reads the parameters of each direction for a cell, as long as the file is open.
    initial : tuple of State, or None
        s_0 of each direction, ``(1, size, batch)``, where the file has one.
    """

    kind: str
    hidden: int
    inputs: int
    directions: int
    options: Mapping[str, Any]
    free: tuple[str, ...]
    read: Callable[[Cell], tuple[Params, ...]] = field(repr=False)
    initial: tuple[State, ...] | None = field(default=None, repr=False)

    @property
    def outputs(self) -> int:
        """Features of the layer's output."""
        return int(self.options.get("projection") or self.hidden) * self.directions

    def cell(self, asked: Mapping[str, Any] | None = None) -> Cell:
        """Make the cell, with further options where the file says nothing.

        Raises
        ------
        ValueError
            If this program's cell has no such options.
        """
        own = cells.get(self.kind)
        whole = {**self.options, **(asked or {})}
        lacking = [name for name in whole if name not in own.__dataclass_fields__]
        if lacking:
            given = ", ".join(f"{name}: {whole[name]}" for name in lacking)
            raise ValueError(f"gradflow's {self.kind} has no {given}")
        return own(hidden=self.hidden, **whole)


@dataclass(frozen=True)
class FoundNet:
    """A recurrent net in a file.

    Parameters
    ----------
    prefix : str
        Its name in the file.
    layers : tuple of FoundLayer
        Bottom up; empty where `problem` says why.
    problem : str
        The error that reading it would end in.
    notes : tuple of str
        What was taken for granted.
    """

    prefix: str
    layers: tuple[FoundLayer, ...]
    problem: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Near:
    """What stands near the nets: ``head`` (o = V y + b) or ``embedding`` (a row for a token).

    Parameters
    ----------
    kind : {"head", "embedding"}
        What it looks like.
    prefix : str
        Its name in the file.
    rows, cols : int
        Outputs and features of a head; tokens and features of an embedding.
    read : callable
        Reads the matrix (rows, cols) and the bias (rows,), if it has one, as long as the file is
        open.
    """

    kind: str
    prefix: str
    rows: int
    cols: int
    read: Callable[[], tuple[Array, Array | None]] = field(repr=False, compare=False)


NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>\d+)")


def joined(nets: Sequence[FoundNet]) -> list[FoundNet]:
    """Join nets that are numbered on under one name and whose sizes fit, each as one stack.

    ``cells.0`` and ``cells.1``, or ``rnn_1`` and ``rnn_2``: the second reads the outputs of the
    first. The sizes have to say so as well, and a note says that it was taken for granted.
    """
    rows: list[list[FoundNet]] = []
    for net in nets:
        if rows and _follows(rows[-1][-1], net):
            rows[-1].append(net)
        else:
            rows.append([net])
    return [stack(row) if len(row) > 1 else row[0] for row in rows]


def stack(nets: Sequence[FoundNet], *, taken: bool = True) -> FoundNet:
    """Put nets on one another, bottom up; a note says so where it is taken for granted."""
    names = [net.prefix for net in nets]
    words = [f"{above} is taken to read {below}" for below, above in pairwise(names) if taken]
    return replace(
        nets[0],
        prefix="+".join(names),
        layers=tuple(layer for net in nets for layer in net.layers),
        notes=(*(note for net in nets for note in net.notes), *words),
    )


def feeds(below: FoundNet, above: FoundNet) -> bool:
    """Whether one net's outputs are as many as the other reads."""
    readable = not (below.problem or above.problem)
    return readable and below.layers[-1].outputs == above.layers[0].inputs


def _follows(below: FoundNet, above: FoundNet) -> bool:
    first, second = (NUMBERED.fullmatch(net.prefix) for net in (below, above))
    return (
        first is not None
        and second is not None
        and first["stem"] == second["stem"]
        and int(first["number"]) + 1 == int(second["number"])
        and feeds(below, above)
    )


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
