"""Weights of PyTorch models, converted to this program's conventions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gradflow.core import cells
from gradflow.core.cells import Cell
from gradflow.core.typing import Array, Params
from gradflow.experiment.data.reading import Choose, finite, mistake, read_npz
from gradflow.experiment.models.safetensors import read_safetensors

__all__ = ["Imported", "read"]

GATES = {"rnn": ("g",), "lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "g")}
"""PyTorch's row blocks under the names of ours; its n is our g."""

NAME = re.compile(
    r"(?:.*\.)?(?P<what>weight|bias)_(?P<of>ih|hh|hr)_l(?P<layer>\d+)(?P<reverse>_reverse)?"
)

READERS: dict[str, Callable[[Path, Choose], dict[str, Array]]] = {
    ".npz": read_npz,
    ".safetensors": read_safetensors,
}


@dataclass(frozen=True)
class Imported:
    """A network from a file.

    Parameters
    ----------
    kind : str
        Kind of cell: rnn, lstm or gru.
    hidden, inputs, layers : int
        Sizes.
    bidirectional : bool
        Whether each layer has a backward direction.
    options : mapping
        Options of the cell: those asked for, and those that the file decides.
    weights : tuple of tuples of Params
        By layer and direction; arrays ``(1, rows, cols)`` in float64.
    """

    kind: str
    hidden: int
    inputs: int
    layers: int
    bidirectional: bool
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[tuple[Params, ...], ...] = ()

    @property
    def cell(self) -> Cell:
        """The cell that these weights belong to."""
        return cells.get(self.kind)(hidden=self.hidden, **self.options)


def read(
    path: str | Path, *, kind: str | None = None, options: Mapping[str, Any] | None = None
) -> Imported:
    """Read a recurrent network from a state dict in .npz or .safetensors.

    The names are PyTorch's, ``weight_ih_l0``, ``bias_hh_l1_reverse``, …, below any one prefix
    (``encoder.rnn.``); other tensors in the file are left alone. What changes on the way:

    - RNN and LSTM: b = b_ih + b_hh; the LSTM's gates i, f, g, o are put in our order. A bias that
      the file does not have is 0 for an LSTM.
    - GRU: PyTorch mixes h_t = (1 − z) n + z h_{t−1}, ours is h_t = (1 − z) h_{t−1} + z g; as
      1 − σ(a) = σ(−a), the rows of z change their sign. It resets after the product, so that
      b_hn stays apart as ``b_rec``.

    Parameters
    ----------
    path : path
        The file.
    kind : str, optional
        The cell it is expected to hold; without it the shapes decide.
    options : mapping, optional
        Options of that cell. A file decides all but an RNN's activation, which no file names.

    Raises
    ------
    UserError
        If a tensor is missing, does not fit, or is not finite; if the file holds several networks,
        or another cell than asked for.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise mistake(
            path,
            f"cannot read weights from the suffix {path.suffix!r}",
            expected=" or ".join(READERS),
            fix="save the model's state dict with safetensors, or with numpy.savez",
        )
    found = READERS[path.suffix.lower()](path, lambda there: _recurrent(there, path))
    state = _State(
        path, {name.rpartition(".")[2]: finite(a, path, name) for name, a in found.items()}
    )
    rows, hidden = state.get("weight_hh_l0", None, None).shape
    kind = _kind(path, rows, hidden, kind)
    options = _options(path, kind, state.biased, dict(options or {}))
    cell = cells.get(kind)(hidden=hidden, **options)
    inputs = state.get("weight_ih_l0", rows, None).shape[1]
    weights = tuple(
        tuple(
            _direction(state, f"l{k}{end}", cell, hidden * len(state.ends) if k else inputs)
            for end in state.ends
        )
        for k in range(state.layers)
    )
    return Imported(kind, hidden, inputs, state.layers, len(state.ends) == 2, options, weights)


class _State:
    """A state dict whose tensors are checked as they are taken."""

    def __init__(self, path: Path, tensors: dict[str, Array]) -> None:
        self.path, self.tensors = path, tensors
        names = [match for name in tensors if (match := NAME.fullmatch(name))]
        self.layers = 1 + max(int(name["layer"]) for name in names)
        self.biased = any(name["what"] == "bias" for name in names)
        self.ends = ("", "_reverse") if any(name["reverse"] for name in names) else ("",)

    def get(self, name: str, *shape: int | None) -> Array:
        """Return a tensor in float64; a size of None may be any but 0."""
        if name not in self.tensors:
            raise mistake(self.path, f"{name} is missing", fix="save the whole state dict")
        tensor = self.tensors[name]
        fits = len(shape) == tensor.ndim and all(
            size == wanted or (wanted is None and size > 0)
            for size, wanted in zip(tensor.shape, shape, strict=True)
        )
        if not fits:
            text = ", ".join("any" if wanted is None else str(wanted) for wanted in shape)
            raise mistake(self.path, f"{name} is shaped {tensor.shape}", expected=f"({text})")
        return tensor.astype(np.float64)


def _recurrent(there: list[str], path: Path) -> list[str]:
    """Pick the one recurrent network's tensors."""
    chosen = [name for name in there if NAME.fullmatch(name)]
    networks = sorted({name.rpartition(".")[0] for name in chosen})
    if len(networks) > 1:
        raise mistake(
            path,
            f"holds {len(networks)} recurrent networks: {', '.join(networks)}",
            expected="one",
            fix="save the state dict of one of them",
        )
    if not chosen:
        some = ", ".join(there[:5]) or "nothing"
        raise mistake(
            path,
            f"holds no recurrent network, but {some}",
            expected="the names of PyTorch's RNN, LSTM or GRU: weight_ih_l0, weight_hh_l0, …",
            fix="save the module's state_dict()",
        )
    projected = [name for name in chosen if "weight_hr" in name]
    if projected:
        raise mistake(
            path,
            f"{projected[0]} belongs to an LSTM with a projection, which is not supported",
            expected="an LSTM with proj_size=0",
        )
    return chosen


def _kind(path: Path, rows: int, hidden: int, kind: str | None) -> str:
    found = {len(gates) * hidden: name for name, gates in GATES.items()}.get(rows)
    if found is None:
        raise mistake(
            path,
            f"weight_hh_l0 is shaped ({rows}, {hidden})",
            expected="1, 3 or 4 times as many rows as columns: an RNN, a GRU or an LSTM",
        )
    if kind not in (None, found):
        raise mistake(
            path,
            f"holds the weights of a cell of kind {found}, not {kind}: weight_hh_l0 is shaped "
            f"({rows}, {hidden})",
            fix=f"set `model.cell` to {found}",
        )
    return found


def _options(path: Path, kind: str, biased: bool, asked: dict[str, Any]) -> dict[str, Any]:
    """Join what was asked for with what the file decides."""
    decided: dict[str, Any] = {} if kind == "lstm" else {"bias": biased}
    if kind == "gru":
        decided["reset"] = "after"
    plain = cells.get(kind)(hidden=1)
    for name, value in asked.items():
        if name == "activation" or value == decided.get(name, getattr(plain, name, None)):
            continue
        have = f"{name}: {decided[name]}" if name in decided else "no such thing"
        raise mistake(
            path,
            f"`model.cell` asks for {name}: {value}, but the weights have {have}",
            fix=f"remove `{name}` from the cell's options",
        )
    return {**decided, **asked}


def _direction(state: _State, end: str, cell: Cell, inputs: int) -> Params:
    """Convert the parameters of one layer and direction."""
    gates, H = GATES[cell.kind], cell.hidden
    rows = len(gates) * H

    def ordered(stacked: Array) -> Array:
        block = dict(zip(gates, np.split(stacked, len(gates)), strict=True))
        if "z" in block:
            block["z"] = -block["z"]
        return np.concatenate([block[gate] for gate in cell.gates])[None]

    params = {
        "U": ordered(state.get(f"weight_ih_{end}", rows, inputs)),
        "W": ordered(state.get(f"weight_hh_{end}", rows, H)),
    }
    expected = cell.parameters(inputs)
    if not state.biased:
        return params | {
            name: np.zeros((1, *expected[name].shape)) for name in expected if name not in params
        }
    b, b_hh = (state.get(f"bias_{of}_{end}", rows)[:, None] for of in ("ih", "hh"))
    if "b_rec" in expected:
        b[:-H] += b_hh[:-H]
        return params | {"b": ordered(b), "b_rec": b_hh[None, -H:]}
    return params | {"b": ordered(b + b_hh)}
