"""Nets of this program as tensors by name: PyTorch's where it has such a module, else own names.

Below any prefix the own names are ``cells``, a JSON text as bytes with kind, hidden, bidirectional
and options of each layer, and ``LAYER.DIRECTION.NAME`` for each parameter: ``0.forward.U``.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gradflow.core.cells import Cell
from gradflow.core.network.stack import Network, Weights
from gradflow.core.typing import Array, Params
from gradflow.errors import UserError
from gradflow.experiment.data.reading import mistake
from gradflow.experiment.models.found import PYTORCH, FoundLayer, FoundNet
from gradflow.experiment.models.tensors import Tensors, flat, take

__all__ = ["NAMES", "own_nets", "packed", "written"]

CELLS = "cells"
NAMES = re.compile(r"cells|\d+\.(forward|backward)\.\w+")
"""The own names."""

SHAPE = ("kind", "hidden", "bidirectional")
"""What stands beside a cell's options."""


def written(net: Network, weights: Weights, row: int) -> dict[str, Array]:
    """Return the parameters of one of the nets side by side, by name.

    Read back they are the same, bit for bit: only rows change places, and signs.

    Parameters
    ----------
    net : Network
        What it is.
    weights : Weights
        By layer and direction, ``(nets, rows, cols)``.
    row : int
        Which net.
    """
    alike = len(set(net.layers)) == 1 and _pytorch_has(net.layers[0].cell)
    found: dict[str, Array] = {}
    if not alike:
        text = json.dumps([_described(one.cell, one.bidirectional) for one in net.layers])
        found[CELLS] = np.frombuffer(text.encode(), np.uint8)
    for index, layer in enumerate(net.layers):
        for way, direction in enumerate(layer.directions):
            own = {name: a[row] for name, a in weights[index][way].items()}
            if alike:
                end = f"_l{index}{'_reverse' if way else ''}"
                named = _in_pytorch(layer.cell, own).items()
                found |= {f"{name}{end}": a for name, a in named}
            else:
                found |= {f"{index}.{direction}.{name}": a for name, a in own.items()}
    return found


def packed(tensors: Mapping[str, Array], suffix: str) -> bytes:
    """Tensors as the bytes of a file that ends in ``.npz`` or ``.safetensors``."""
    if suffix == ".npz":
        buffer = io.BytesIO()
        np.savez(buffer, **dict(tensors))  # type: ignore[arg-type]  # arrays
        return buffer.getvalue()
    header, data = {}, b""
    for name, a in tensors.items():
        bits = a.astype("<f8").tobytes()
        offsets = [len(data), len(data) + len(bits)]
        header[name] = {"dtype": "F64", "shape": a.shape, "data_offsets": offsets}
        data += bits
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers begin at a multiple of their size
    return len(text).to_bytes(8, "little") + text + data


def _pytorch_has(cell: Cell) -> bool:
    """Whether a reader of PyTorch's names makes the same cell; of a relu it has to be told."""
    known = {"rnn": ("bias", "activation"), "lstm": ("bias", "projection"), "gru": ("bias",)}
    own = {field.name for field in fields(cell)}
    kept = {name: getattr(cell, name) for name in known.get(cell.kind, ()) if name in own}
    after = {"reset": "after"} if cell.kind == "gru" else {}
    there = cell.kind in PYTORCH and kept.get("activation", "tanh") in ("tanh", "relu")
    return there and cell == type(cell)(hidden=cell.hidden, **kept, **after)


def _in_pytorch(cell: Cell, own: Mapping[str, Array]) -> dict[str, Array]:
    """The inverse of `found.parameters`: gates in PyTorch's order, z the other way round."""
    gates, layout = PYTORCH[cell.kind], cell.parameters(own["U"].shape[1])

    def stacked(name: str) -> Array:
        known = layout[name].blocks
        blocks = dict(zip(known, np.split(own[name], len(known)), strict=True))
        nothing = np.zeros_like(own[name][: cell.hidden])
        each = [blocks.get(gate, nothing) for gate in gates]
        return np.concatenate([-a if g == "z" else a for g, a in zip(gates, each, strict=True)])

    found = {"weight_ih": stacked("U"), "weight_hh": stacked("W")}
    if "b" in own:
        found["bias_ih"] = stacked("b")[:, 0]
        found["bias_hh"] = stacked("b_rec")[:, 0] if "b_rec" in own else 0 * found["bias_ih"]
    return found | ({"weight_hr": own["R"]} if "R" in own else {})


def _described(cell: Cell, bidirectional: bool) -> dict[str, Any]:
    options = {field.name: getattr(cell, field.name) for field in fields(cell)}
    return {"kind": cell.kind, "bidirectional": bidirectional, **options}


def own_nets(tensors: Tensors, path: Path) -> list[FoundNet]:
    """Find the nets that stand in a file under own names; one that cannot be read says why."""
    found = []
    for name in tensors:
        prefix, _, last = name.rpartition(".")
        if last == CELLS:
            try:
                found.append(FoundNet(prefix, tuple(_layers(tensors, path, prefix))))
            except UserError as error:
                found.append(FoundNet(prefix, (), str(error)))
    return found


def _layers(tensors: Tensors, path: Path, prefix: str) -> list[FoundLayer]:
    at = f"{prefix}." if prefix else ""
    found: list[FoundLayer] = []
    text = take(tensors, [at + CELLS], path)[at + CELLS].astype(np.uint8).tobytes()
    try:
        told: list[dict[str, Any]] = json.loads(text)
        for index, one in enumerate(told):
            directions = ("forward", "backward")[: 1 + bool(one["bidirectional"])]
            first = f"{at}{index}.forward.U"
            inputs = tensors[first].shape[1]
            # what JSON has as a list is a tuple in a cell
            options = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in one.items()
                if key not in SHAPE
            }
            names = [f"{at}{index}.{direction}." for direction in directions]
            read = partial(_read, tensors, path, names, inputs)
            size = int(one["hidden"])
            layer = FoundLayer(one["kind"], size, inputs, len(names), options, (), read)
            layer.cell()
            found.append(layer)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise mistake(
            path,
            f"{flat(at + CELLS)} describes no net ({flat(str(error), 200)})",
            expected="what gradflow writes beside a net that has learnt",
        ) from error
    return found


def _read(
    tensors: Tensors, path: Path, names: list[str], inputs: int, cell: Cell
) -> tuple[Params, ...]:
    each = []
    for name in names:
        wanted = cell.parameters(inputs)
        for key, parameter in wanted.items():
            shape = tensors[name + key].shape if name + key in tensors else None
            if shape != parameter.shape:
                has = "is missing" if shape is None else f"is shaped {shape}"
                raise mistake(path, f"{flat(name + key)} {has}", expected=f"{parameter.shape}")
        read = take(tensors, [name + key for key in wanted], path)
        each.append({key: read[name + key][None] for key in wanted})
    return tuple(each)
