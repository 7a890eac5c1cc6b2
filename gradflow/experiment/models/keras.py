"""Keras's layers: Keras 1 to 3, plain and CuDNN's, in one direction or both.

``kernel`` (features, gates * H), ``recurrent_kernel`` (H, gates * H) and ``bias`` stand under those
names (Keras 2, and .h5 files of Keras 3), as ``vars/0``, ``vars/1``, ``vars/2`` (Keras 3), or with
a matrix for each gate, ``NAME_W_i``, ``NAME_U_i``, ``NAME_b_i`` (Keras 1). CuDNN's layers keep each
gate's matrices transposed, and two biases. What a file of weights alone cannot say, activations, is
what that version of Keras takes by default, and may be asked for otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gradflow.core import cells
from gradflow.core.cells import Cell
from gradflow.core.typing import Params
from gradflow.errors import UserError
from gradflow.experiment.data.reading import mistake
from gradflow.experiment.models.found import (
    KERAS,
    FoundLayer,
    FoundNet,
    Near,
    feeds,
    joined,
    parameters,
    stack,
)
from gradflow.experiment.models.hdf5 import Described, Saved, described
from gradflow.experiment.models.tensors import flat, pair, take

__all__ = ["EXPECTED", "near", "nets"]

EXPECTED = "recurrent layers of Keras: LSTM, GRU, SimpleRNN, CuDNNLSTM or CuDNNGRU"

ROLES = {
    "kernel": "U", "recurrent_kernel": "W", "bias": "b", "0": "U", "1": "W", "2": "b",
}  # fmt: skip
FIRST = re.compile(r"(?P<layer>.+)_(?P<role>[WUb])(?:_(?P<gate>[icfozrh]))?")
SWAPPED = {"W": "U", "U": "W", "b": "b"}
"""Keras 1's names, in which W is what the input meets."""

CLASSES = {"LSTM": "lstm", "CuDNNLSTM": "lstm", "GRU": "gru", "CuDNNGRU": "gru", "SimpleRNN": "rnn"}
KINDS = {len(gates): kind for kind, gates in KERAS.items()}
ACTIVATIONS = {"tanh": "tanh", "sigmoid": "sigmoid", "relu": "relu", "linear": "identity"}
INNER = ("model_weights", "layers", "_layer_checkpoint_dependencies", "vars", "cell", "")


def nets(saved: Saved, path: Path) -> tuple[list[FoundNet], list[FoundNet]]:
    """Find the recurrent layers, each by itself, and those that feed one another as one."""
    groups, there = _groups(saved), described(saved.config)
    singles: list[FoundNet] = []
    for at, names in groups.items():
        if "backward" in at and at.replace("backward", "forward") in groups:
            continue
        back = groups.get(at.replace("forward", "backward")) if "forward" in at else None
        said = _said(at, saved, there)
        name = said.name if said else _called(at, groups)
        ways = [_Way(saved, path, each) for each in (names, back) if each]
        try:
            layer, notes = _layer(ways, said, path, saved.version)
            singles.append(FoundNet(name, (layer,), notes=notes))
        except UserError as error:
            singles.append(FoundNet(name, (), str(error)))
    order = list(there)
    singles.sort(key=lambda net: order.index(net.prefix) if net.prefix in order else -1)
    return singles, _rows(singles, there) if there else joined(singles)


def _groups(saved: Saved) -> dict[str, dict[str, str]]:
    """Names by role, and by gate in Keras 1, below the path of a cell."""
    found: dict[str, dict[str, str]] = {}
    for name in saved.tensors:
        at, _, last = name.rpartition("/")
        last = last.partition(":")[0]
        if last in ROLES:
            found.setdefault(at, {})[ROLES[last]] = name
        elif first := FIRST.fullmatch(last):
            role = SWAPPED[first["role"]] + (first["gate"] or "")
            found.setdefault(f"{at}/{first['layer']}", {})[role] = name
    return {at: names for at, names in found.items() if _recurrent(saved, names)}


def _recurrent(saved: Saved, names: Mapping[str, str]) -> bool:
    """Whether there is a W with 1, 3 or 4 times as many columns as rows, and a U beside it."""
    W, U = (sorted(key for key in names if key[0] == role) for role in "WU")
    if not W or len(W) != len(U) or len(W) not in KINDS:
        return False
    shapes = [saved.tensors[names[key]].shape for key in (W[0], U[0])]
    if any(len(shape) != 2 or 0 in shape for shape in shapes):
        return False
    (H, rows), (_, columns) = shapes
    return rows == columns and rows * len(W) in [n * H for n in KINDS]


def _called(at: str, groups: Mapping[str, Any]) -> str:
    """The name of a layer of which the file says nothing but where it lies."""

    def parts(where: str) -> list[str]:
        return [part for part in where.split("/") if part not in INNER]

    own = parts(at)
    alone = [other for other in groups if parts(other)[0] == own[0] and "backward" not in other]
    return own[0] if len(alone) < 2 else ".".join(dict.fromkeys(own))


def _said(at: str, saved: Saved, there: Mapping[str, Described]) -> Described | None:
    """What the configuration says of the layer whose cell lies there."""
    folders = at.split("/")
    above = ["/".join(folders[:k]) for k in range(1, len(folders) + 1)]
    calls = [saved.names.get(f"{folder}/vars", "") for folder in above]
    for name in [*calls, *(folders if not any(calls) else ())]:
        if name in there:
            return there[name]
    return None


@dataclass(frozen=True)
class _Way:
    """One direction of a layer: its tensors by role, or by role and gate."""

    saved: Saved
    path: Path
    names: Mapping[str, str]

    def shape(self, role: str) -> tuple[int, ...]:
        """The shape of the first tensor in a role; () if there is none."""
        name = next((name for key, name in self.names.items() if key[0] == role), None)
        return self.saved.tensors[name].shape if name else ()

    @property
    def hidden(self) -> int:
        return self.shape("W")[0]

    @property
    def kind(self) -> str:
        gates = sum(key[0] == "W" for key in self.names)
        return KINDS[gates if gates > 1 else self.shape("W")[1] // self.hidden]

    @property
    def biases(self) -> int:
        """0, 1, or 2 where the recurrent product has its own."""
        shape, rows = self.shape("b"), len(KERAS[self.kind]) * self.hidden
        sizes = {(): 0, (rows,): 1, (self.hidden,): 1, (2, rows): 2, (2 * rows,): 2}
        if shape not in sizes:
            raise mistake(self.path, f"a bias is shaped {shape}", expected=f"({rows},)")
        return sizes[shape]

    @property
    def cudnn(self) -> bool:
        """Whether it is laid out as CuDNN's layers are, with the two biases in a row."""
        return self.biases == 2 and len(self.shape("b")) == 1

    def read(self, cell: Cell) -> Params:
        """Read the parameters."""
        gates = KERAS[cell.kind]
        read = take(self.saved.tensors, self.names.values(), self.path)
        by = {key: read[name] for key, name in self.names.items()}
        if len(by) > 3:
            keras = [{"g": "ch"[gates == "zrg"]}.get(gate, gate) for gate in gates]
            by = {
                role: np.concatenate([by[role + gate] for gate in keras], axis=-1)
                for role in "UWb"
                if any(key[0] == role for key in by)
            }
        U, W, b = by["U"], by["W"], by.get("b")
        if self.cudnn:
            blocks = [np.split(a, len(gates), axis=1) for a in (U, W)]
            U = np.concatenate([k.reshape(self.hidden, -1) for k in blocks[0]]).T
            W = np.concatenate(blocks[1]).T
        biases = [] if b is None else list(b.reshape(self.biases, -1))
        return parameters(cell, gates, U.T, W.T, biases)


def _layer(
    ways: Sequence[_Way], said: Described | None, path: Path, version: str
) -> tuple[FoundLayer, tuple[str, ...]]:
    one = ways[0]
    kind = CLASSES.get(said.kind, one.kind) if said else one.kind
    if any((way.kind, way.hidden, way.biases) != (kind, one.hidden, one.biases) for way in ways):
        raise mistake(path, f"a layer called {kind} has directions or gates of other shapes")
    has = "bias" in cells.get(kind).__dataclass_fields__
    options: dict[str, Any] = {"bias": bool(one.biases)} if has else {}
    notes = []
    if said:
        free: tuple[str, ...] = ()
        options |= _activations(kind, said.options, path, version)
        if said.options.get("go_backwards"):
            notes.append("it reads the input from its end: give it inputs in that order")
        if len(ways) > 1 and said.merge != "concat":
            notes.append(f"its directions are merged by {said.merge}, here side by side")
        after = bool(said.options.get("reset_after", one.cudnn))
    else:
        free = ("activation", "gate_activation", "output_activation")
        after = version.startswith("3")
        if not one.cudnn:
            notes.append(f"activations are taken as Keras {version} has them by default".strip())
            if kind != "rnn" and re.match(r"1\.|2\.[0-2]\.", version):
                options["gate_activation"] = "hard_sigmoid_keras2"
    if kind == "gru":
        after = after if not one.biases else one.biases == 2
        options["reset"] = "after" if after else "before"

    def read(cell: Cell) -> tuple[Params, ...]:
        return tuple(way.read(cell) for way in ways)

    return FoundLayer(
        kind, one.hidden, one.shape("U")[0], len(ways), options, free, read
    ), tuple(notes)  # fmt: skip


def _activations(kind: str, said: Mapping[str, Any], path: Path, version: str) -> dict[str, Any]:
    """The options that the activations of a configuration mean, without the defaults."""
    hard = "hard_sigmoid" if version.startswith("3") else "hard_sigmoid_keras2"

    def known(key: str, default: str) -> str:
        name = said.get(key, said.get({"recurrent_activation": "inner_activation"}.get(key, key)))
        if isinstance(name, dict):
            name = name.get("class_name")
        name = default if name is None else str(name)
        found = {**ACTIVATIONS, "hard_sigmoid": hard}.get(name.lower())
        if found is None:
            raise mistake(path, f"{key} is {flat(name)}", expected=", ".join(ACTIVATIONS))
        return found

    main = known("activation", "tanh")
    options = {"activation": main, "output_activation": main if kind == "lstm" else "tanh"}
    if kind != "rnn":
        options["gate_activation"] = known("recurrent_activation", "sigmoid")
    plain = {"activation": "tanh", "output_activation": "tanh", "gate_activation": "sigmoid"}
    return {name: value for name, value in options.items() if value != plain[name]}


def _rows(singles: Sequence[FoundNet], there: Mapping[str, Described]) -> list[FoundNet]:
    """Put layers on those whose sequences they read, as the configuration says."""
    by = {net.prefix: net for net in singles}
    above: dict[str, FoundNet] = {}
    for net in singles:
        sources = there[net.prefix].sources if net.prefix in there else ()
        below = by.get(sources[0]) if len(sources) == 1 else None
        if below and there[below.prefix].sequences and feeds(below, net):
            above.setdefault(below.prefix, net)
    fed = {net.prefix for net in above.values()}
    rows: list[list[FoundNet]] = []
    for net in singles:
        if net.prefix not in fed:
            row = [net]
            while row[-1].prefix in above:
                row.append(above[row[-1].prefix])
            rows.append(row)
    return [stack(row, taken=False) if len(row) > 1 else row[0] for row in rows]


def near(saved: Saved, path: Path) -> list[Near]:
    """Find embeddings, and kernels with a bias beside them: dense layers."""
    found = []
    for name, tensor in saved.tensors.items():
        at, _, last = name.rpartition("/")
        last = last.partition(":")[0]
        called = _called(at, {}) if at else last
        if len(tensor.shape) != 2:
            continue
        if last == "embeddings" or (last == "0" and "embedding" in at):
            read = partial(pair, saved.tensors, path, name)
            found.append(Near("embedding", called, *tensor.shape, read))
        elif ROLES.get(last) == "U" and not any(
            at == name.rpartition("/")[0]
            and ROLES.get(name.rpartition("/")[2].partition(":")[0]) == "W"
            and len(other.shape) == 2
            for name, other in saved.tensors.items()
        ):
            cols, rows = tensor.shape
            beside = [
                other
                for other, vector in saved.tensors.items()
                if other.rpartition("/")[0] == at and vector.shape == (rows,)
            ]
            bias = beside[0] if beside else None
            read = partial(pair, saved.tensors, path, name, bias, turned=True)
            found.append(Near("head", called, rows, cols, read))
    return found
