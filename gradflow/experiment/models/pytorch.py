"""PyTorch's names: modules and their cells, below any prefix, under what wraps them.

A recurrent module's tensors are ``weight_ih_l0``, ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0``,
``weight_hr_l0`` (a projection), with ``_reverse`` behind those of the backward direction; a cell's
are the same without ``_l0``. Weight norm, spectral norm and weight dropout keep the weights under
names of their own; they are folded: W = g v/‖v‖, W/σ with σ = uᵀ W v, and the raw weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gradflow.core import cells
from gradflow.core.cells import Cell
from gradflow.core.typing import Array, Params
from gradflow.errors import UserError
from gradflow.experiment.data.reading import mistake
from gradflow.experiment.models.found import PYTORCH, FoundLayer, FoundNet, Near, parameters
from gradflow.experiment.models.tensors import Tensor, Tensors, flat, pair, take

__all__ = ["NAME", "folded", "near", "nets"]

NAME = re.compile(
    r"(?:(?P<prefix>.*)\.)?(?P<what>weight|bias)_(?P<of>ih|hh|hr)"
    r"(?P<layer>_l(?P<number>\d{1,3}))?(?P<reverse>_reverse)?"
)
OWN = r"(?P<at>(?:.*\.)?)(?P<name>(?:weight|bias)_(?:ih|hh|hr)(?:_l\d+)?(?:_reverse)?)"
PARAMETRISED = r"(?P<at>(?:.*\.)?)parametrizations\.(?P<name>\w+)\.original"
INSIDE = "{at}parametrizations.{name}."
WRAPPERS = (
    (re.compile(OWN + "_g"), ("{at}{name}_g", "{at}{name}_v")),
    (re.compile(OWN + "_orig"), ("{at}{name}_orig", "{at}{name}_u", "{at}{name}_v")),
    (re.compile(PARAMETRISED + "0"), (INSIDE + "original0", INSIDE + "original1")),
    (re.compile(PARAMETRISED), (INSIDE + "original", INSIDE + "0._u", INSIDE + "0._v")),
    (re.compile(OWN + "_raw"), ("{at}{name}_raw",)),
)
"""What tells a wrapped weight, and the names of its parts."""


def folded(tensors: Tensors, path: Path) -> dict[str, Tensor]:
    """Return the tensors under the names that they have without wrappers."""
    found = dict(tensors)
    for name in tensors:
        for pattern, parts in WRAPPERS:
            match = pattern.fullmatch(name)
            names = [part.format(**match.groupdict()) for part in parts] if match else []
            if match is None or not set(names) <= found.keys():
                continue
            whole = match["at"] + match["name"]
            if len(parts) == 1 and f"{match['at']}module.weight_ih_l0" in tensors:
                whole = f"{match['at']}module.{match['name']}"
            source = {part: tensors[part] for part in names}
            shape = tensors[names[-1] if len(names) == 2 else names[0]].shape
            found = {key: tensor for key, tensor in found.items() if key not in source}
            found[whole] = Tensor(shape, partial(_fold, source, path))
            break
    return found


def _fold(source: Tensors, path: Path) -> Array:
    first, *rest = take(source, source, path).values()
    if not rest:
        return first
    if len(rest) == 1:
        (v,) = rest
        axes = tuple(k for k, size in enumerate(first.shape) if size == 1) or None
        whole: Array = first * v / np.sqrt(np.square(v).sum(axis=axes, keepdims=True))
        return whole
    u, v = rest if len(rest[0]) == len(first) else rest[::-1]
    scaled: Array = first / (u @ first @ v)
    return scaled


def nets(tensors: Tensors, path: Path, said: Mapping[str, str] | None = None) -> list[FoundNet]:
    """Find the recurrent nets; one that cannot be read says why.

    Parameters
    ----------
    tensors : mapping
        What there is, folded.
    path : path
        The file.
    said : mapping
        Texts that stand beside the tensors: a pickled module's ``mode`` and ``nonlinearity``.
    """
    groups: dict[str, list[re.Match[str]]] = {}
    for name in tensors:
        if match := NAME.fullmatch(name):
            groups.setdefault(match["prefix"] or "", []).append(match)
    return [
        _net(_Group(tensors, path, prefix, names), said or {}) for prefix, names in groups.items()
    ]


class _Group:
    """The tensors of one net, checked as they are asked for."""

    def __init__(
        self, tensors: Tensors, path: Path, prefix: str, names: list[re.Match[str]]
    ) -> None:
        self.tensors, self.path, self.prefix = tensors, path, prefix
        self.numbered = any(name["layer"] for name in names)
        self.layers = 1 + max(int(name["number"] or 0) for name in names)
        self.biased = any(name["what"] == "bias" for name in names)
        self.projected = any(name["of"] == "hr" for name in names)
        self.ends = ("", "_reverse") if any(name["reverse"] for name in names) else ("",)

    def name(self, what: str, layer: int, end: str) -> str:
        """The name of one tensor in the file."""
        number = f"_l{layer}" if self.numbered else ""
        return (f"{self.prefix}." if self.prefix else "") + what + number + end

    def shape(self, what: str, layer: int, end: str, *wanted: int | None) -> tuple[int, ...]:
        """Return a tensor's shape; a size of None may be any but 0."""
        name = self.name(what, layer, end)
        shown = flat(name.removeprefix(f"{self.prefix}.") if self.prefix else name)
        if name not in self.tensors:
            self._refuse_parametrised(what, layer, end)
            raise mistake(self.path, f"{shown} is missing", fix="save the whole state dict")
        shape = self.tensors[name].shape
        fits = len(wanted) == len(shape) and all(
            size == asked or (asked is None and size > 0)
            for size, asked in zip(shape, wanted, strict=True)
        )
        if not fits:
            text = ", ".join("any" if asked is None else str(asked) for asked in wanted)
            raise mistake(self.path, f"{shown} is shaped {shape}", expected=f"({text})")
        return shape

    def _refuse_parametrised(self, what: str, layer: int, end: str) -> None:
        name = self.name(what, layer, end)
        at, _, last = name.rpartition(".")
        behind = f"{at}.parametrizations.{last}.".lstrip(".")
        if parts := [flat(other) for other in self.tensors if other.startswith(behind)]:
            raise mistake(
                self.path,
                f"{flat(name)} is made by a parametrization that is not known: {', '.join(parts)}",
                expected="weight_norm or spectral_norm",
                fix="save it after torch.nn.utils.parametrize.remove_parametrizations",
            )


def _net(group: _Group, said: Mapping[str, str]) -> FoundNet:
    try:
        return FoundNet(group.prefix, tuple(_layers(group, said)))
    except UserError as error:
        return FoundNet(group.prefix, (), str(error))


def _layers(group: _Group, said: Mapping[str, str]) -> Iterable[FoundLayer]:
    rows, recurrent = group.shape("weight_hh", 0, "", None, None)
    hidden = group.shape("weight_hr", 0, "", recurrent, None)[1] if group.projected else recurrent
    kind = {len(gates) * hidden: name for name, gates in PYTORCH.items()}.get(rows)
    if kind is None or (group.projected and kind != "lstm"):
        raise mistake(
            group.path,
            f"{group.name('weight_hh', 0, '')} is shaped ({rows}, {recurrent})",
            expected="1, 3 or 4 times as many rows as columns: an RNN, a GRU or an LSTM",
        )
    options, free = _options(group, kind, recurrent, said)
    inputs = group.shape("weight_ih", 0, "", rows, None)[1]
    for layer in range(group.layers):
        for end in group.ends:
            group.shape("weight_ih", layer, end, rows, inputs)
            group.shape("weight_hh", layer, end, rows, recurrent)
            for bias in ("bias_ih", "bias_hh") if group.biased else ():
                group.shape(bias, layer, end, rows)
            if group.projected:
                group.shape("weight_hr", layer, end, recurrent, hidden)
        read = partial(_read, group, layer)
        yield FoundLayer(kind, hidden, inputs, len(group.ends), options, free, read)
        inputs = recurrent * len(group.ends)


def _options(
    group: _Group, kind: str, recurrent: int, said: Mapping[str, str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    has = "bias" in cells.get(kind).__dataclass_fields__
    options: dict[str, Any] = {"bias": group.biased} if has else {}
    if group.projected:
        options["projection"] = recurrent
    if kind == "gru":
        options["reset"] = "after"
    if kind != "rnn":
        return options, ()
    at = f"{group.prefix}." if group.prefix else ""
    words = f"{said.get(at + 'mode', '')} {said.get(at + 'nonlinearity', '')}".lower()
    known = next((word for word in ("relu", "tanh") if word in words), None)
    return (options, ("activation",)) if known is None else ({**options, "activation": known}, ())


def _read(group: _Group, layer: int, cell: Cell) -> tuple[Params, ...]:
    whats = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if group.biased else [])]
    read: Callable[[Iterable[str]], dict[str, Array]] = partial(
        take, group.tensors, path=group.path
    )
    each = []
    for end in group.ends:
        U, W, *biases = read([group.name(what, layer, end) for what in whats]).values()
        projection = [group.name("weight_hr", layer, end)] if group.projected else []
        others = dict(zip("R", read(projection).values(), strict=False))
        each.append(parameters(cell, PYTORCH[cell.kind], U, W, biases, **others))
    return tuple(each)


def near(tensors: Tensors, path: Path) -> list[Near]:
    """Find matrices that look like a linear head (a bias beside them) or like an embedding."""
    found = []
    for name, tensor in tensors.items():
        prefix, _, last = name.rpartition(".")
        if last != "weight" or len(tensor.shape) != 2:
            continue
        rows, cols = tensor.shape
        beside = f"{prefix}.bias".lstrip(".")
        bias = tensors.get(beside)
        if bias is not None and bias.shape == (rows,):
            read = partial(pair, tensors, path, name, beside)
            found.append(Near("head", prefix, rows, cols, read))
        elif bias is None:
            kind = "embedding" if "emb" in prefix.lower() or rows > cols else "head"
            read = partial(pair, tensors, path, name)
            found.append(Near(kind, prefix, rows, cols, read))
    return found
