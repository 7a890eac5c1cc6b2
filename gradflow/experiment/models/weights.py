"""The weights of a user's net, in this program's conventions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gradflow.core.cells import Cell
from gradflow.core.network.stack import Layer, States
from gradflow.core.typing import Array, Params
from gradflow.errors import UserError, typed
from gradflow.experiment.data.reading import mistake, once
from gradflow.experiment.models.found import FoundLayer, FoundNet, feeds, stack
from gradflow.experiment.models.opening import Contents, open_checkpoint
from gradflow.experiment.models.tensors import flat, mappings

__all__ = ["Imported", "apart", "choose", "read_near", "read_weights"]

Value = TypeVar("Value")


@dataclass(frozen=True)
class Imported:
    """A network from a file.

    Parameters
    ----------
    inputs : int
        Features that it reads.
    stack : tuple of Layer
        The cell and the directions of each layer, bottom up.
    options : mapping
        Options of the lowest cell: those asked for, and those that the file decides.
    weights : tuple of tuples of Params
        By layer and direction; arrays ``(1, rows, cols)`` in float64.
    notes : tuple of str
        What was taken for granted.
    initial : States or None
        s_0 where the file has one, ``(1, size, batch)``.
    """

    inputs: int
    stack: tuple[Layer, ...]
    options: Mapping[str, Any]
    weights: tuple[tuple[Params, ...], ...]
    notes: tuple[str, ...] = ()
    initial: States | None = None

    @property
    def begins(self) -> int:
        """How many sequences the file has an initial state for: 1 for all alike, 0 for none."""
        each = [part.shape[-1] for layer in self.initial or () for s in layer for part in s]
        return max(each, default=0)

    @property
    def cell(self) -> Cell:
        """The lowest layer's cell."""
        return self.stack[0].cell

    @property
    def kind(self) -> str:
        """Kind of the lowest layer's cell."""
        return self.cell.kind

    @property
    def hidden(self) -> int | tuple[int, ...]:
        """Units of every layer, or of each where they differ."""
        return _common([layer.cell.hidden for layer in self.stack])

    @property
    def layers(self) -> int:
        """Depth of the stack."""
        return len(self.stack)

    @property
    def bidirectional(self) -> bool | tuple[bool, ...]:
        """Whether every layer has a backward direction, or which have."""
        return _common([layer.bidirectional for layer in self.stack])


def _common(each: list[Value]) -> Value | tuple[Value, ...]:
    return each[0] if len(set(each)) == 1 else tuple(each)


def apart(source: str | Path) -> tuple[Path, str]:
    """Take ``file#prefix`` apart, unless a file has that very name."""
    path, _, prefix = str(source).partition("#")
    return (Path(source), "") if os.path.exists(source) else (Path(path), prefix)


def read_weights(
    source: str | Path,
    *,
    kind: str | None = None,
    options: Mapping[str, Any] | None = None,
    names: Mapping[str, str] | None = None,
) -> Imported:
    """Read a recurrent network from a checkpoint.

    ``file#prefix`` names one net of several by its name in the file, or by a part of that between
    dots; ``file#lower+upper`` puts two on one another. What changes on the way:

    - RNN and LSTM: b = b_ih + b_hh; the gates are put in our order. A bias that the file does not
      have is 0 for an LSTM.
    - GRU: others mix h_t = (1 − z) n + z h_{t−1}, ours is h_t = (1 − z) h_{t−1} + z g; as
      1 − σ(a) = σ(−a), the rows of z change their sign. Where it resets after the product, b_hn
      stays apart as ``b_rec``.

    Parameters
    ----------
    source : path
        The file, and which net in it.
    kind : str, optional
        The cell it is expected to hold; without it the file decides.
    options : mapping, optional
        Options of that cell, which have to be the file's, or of which it says nothing.
    names : mapping, optional
        PyTorch's names to those that the file has instead.

    Raises
    ------
    UserError
        If a tensor is missing, does not fit, or is not finite; if the file holds several networks,
        or another cell than asked for.
    """
    path, prefix = apart(source)
    return _read(path, prefix, kind, dict(options or {}), dict(names or {}))


@once
def _read(
    path: Path,
    prefix: str,
    kind: str | None,
    options: dict[str, Any],
    names: dict[str, str],
) -> Imported:
    with open_checkpoint(path, names) as contents:
        net = choose(contents, path, prefix)
        first = net.layers[0]
        if kind not in (None, first.kind):
            raise mistake(
                path,
                f"holds the weights of a cell of kind {first.kind}, not {kind}",
                fix=f"set `model.cell` to {first.kind}",
            )
        whole = _options(path, first, options)
        cells = [
            _cell(path, layer, _options(path, layer, options) if layer.kind == first.kind else {})
            for layer in net.layers
        ]
        found = list(zip(net.layers, cells, strict=True))
        return Imported(
            first.inputs,
            tuple(Layer(cell, layer.directions == 2) for layer, cell in found),
            whole,
            tuple(layer.read(cell) for layer, cell in found),
            tuple(f"{path.name}: {flat(note, 200)}" for note in net.notes),
            _initial(found),
        )


def _initial(layers: Sequence[tuple[FoundLayer, Cell]]) -> States | None:
    """s_0 of all layers: zero for those that have none, if any has one."""
    if not any(layer.initial for layer, _ in layers):
        return None
    return tuple(
        layer.initial or (tuple(np.zeros((1, size, 1)) for size in cell.sizes),) * layer.directions
        for layer, cell in layers
    )


def read_near(source: str | Path, name: str, what: str) -> tuple[Array, Array | None]:
    """Read a matrix that stands near the nets of a checkpoint, and its bias if it has one.

    Parameters
    ----------
    source : path
        The file, as in `read_weights`.
    name : str
        The matrix's name in the file, or a part of it between dots.
    what : str
        What it is wanted for: a head or an embedding.

    Raises
    ------
    UserError
        If there is none of that name, or more than one.
    """
    return _near(apart(source)[0], name, what)


@once
def _near(path: Path, name: str, what: str) -> tuple[Array, Array | None]:
    with open_checkpoint(path) as contents:
        known = [one for one in contents.near if one.prefix == name]
        found = known or [one for one in contents.near if f".{name}." in f".{one.prefix}."]
        if len(found) != 1:
            there = [f"{flat(one.prefix)} ({one.rows} × {one.cols})" for one in contents.near]
            raise mistake(
                path,
                f"holds {len(found) or 'no'} matrices called {flat(name)}",
                expected=f"the name of {what}: {', '.join(there) or 'the file has none'}",
                fix=f"`gradflow inspect {typed(path.name)}` shows what is near the nets",
            )
        return found[0].read()


def choose(contents: Contents, path: Path, prefix: str) -> FoundNet:
    """Return the one net that is meant, or those that are, on one another.

    Raises
    ------
    UserError
        If there is none, or more than one, or it cannot be read.
    """
    if not contents.singles:
        raise _nothing(contents, path)
    if prefix:
        row = [
            _only(_called(contents.singles, part), part, contents, path)
            for part in prefix.split("+")
        ]
    else:
        row = [_only(contents.nets, "", contents, path)]
    for net in row:
        if net.problem:
            raise UserError(net.problem)
    for below, above in pairwise(row):
        if not feeds(below, above):
            raise mistake(
                path,
                f"{flat(above.prefix)} reads {above.layers[0].inputs} features, "
                f"{flat(below.prefix)} gives {below.layers[-1].outputs}",
                expected="nets that fit on one another, bottom up",
            )
    return stack(row) if len(row) > 1 else row[0]


def _called(nets: Sequence[FoundNet], name: str) -> list[FoundNet]:
    """Find the nets of that name; else those of whose name it is a part, between dots."""
    exact = [net for net in nets if net.prefix == name]
    return exact or [net for net in nets if f".{name}." in f".{net.prefix}."]


def _only(found: Sequence[FoundNet], name: str, contents: Contents, path: Path) -> FoundNet:
    if len(found) == 1:
        return found[0]
    nets = found or contents.nets
    names = sorted(flat(net.prefix) for net in nets)
    if not found:
        problem = f"holds no recurrent network called {flat(name)}, but {', '.join(names)}"
    else:
        problem = f"holds {len(names)} recurrent networks: {', '.join(names)}"
    raise mistake(
        path,
        problem,
        expected="one",
        fix=f"add #{names[0]} to the path under weights; `gradflow inspect {typed(path)}` "
        "shows them",
    )


def _nothing(contents: Contents, path: Path) -> UserError:
    some = ", ".join(map(flat, list(contents.shapes)[:5])) or "nothing"
    lines = [
        "names: {" + ", ".join(f"{ours}: {theirs}" for ours, theirs in names.items()) + "}"
        for names in mappings(contents.shapes)
    ]
    offer = "write under model, beside weights: " + " or ".join(lines)
    return mistake(
        path,
        f"holds no recurrent network, but {some}",
        expected=contents.expected,
        fix=offer if lines else "save the module's state_dict()",
    )


def _cell(path: Path, layer: FoundLayer, options: Mapping[str, Any]) -> Cell:
    try:
        return layer.cell(options)
    except ValueError as error:
        raise mistake(path, f"holds a cell that cannot be measured: {error}") from error


def _options(path: Path, layer: FoundLayer, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Join what was asked for with what the file decides."""
    decided = _cell(path, layer, {})
    for name, value in asked.items():
        if name in layer.free or value == getattr(decided, name, None):
            continue
        have = f"{name}: {layer.options[name]}" if name in layer.options else "no such thing"
        raise mistake(
            path,
            f"`model.cell` asks for {name}: {value}, but the weights have {have}",
            fix=f"remove `{name}` from the cell's options",
        )
    return {**layer.options, **asked}
