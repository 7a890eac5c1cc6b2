"""Recurrent nodes of ONNX graphs: LSTM, GRU and RNN, wherever in the graph they stand."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gradflow.core import cells
from gradflow.core.cells import Cell, State
from gradflow.core.typing import Array, Params
from gradflow.errors import UserError
from gradflow.experiment.data.reading import finite, mistake
from gradflow.experiment.models.found import (
    ONNX,
    FoundLayer,
    FoundNet,
    Near,
    feeds,
    parameters,
    stack,
)
from gradflow.experiment.models.graph import Graph, attributes
from gradflow.experiment.models.tensors import flat

__all__ = ["EXPECTED", "near", "nets"]

EXPECTED = "LSTM, GRU or RNN nodes"
KINDS = {"LSTM": "lstm", "GRU": "gru", "RNN": "rnn"}
DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
ACTIVATIONS = {"Tanh": "tanh", "Sigmoid": "sigmoid", "Relu": "relu"}
THROUGH = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Cast", "Dropout")
"""What stands between a layer's output Y and the next layer's input."""


def nets(found: list[Graph], path: Path) -> tuple[list[FoundNet], list[FoundNet]]:
    """Find the recurrent nodes, each by itself, and those that feed one another as one."""
    singles: list[FoundNet] = []
    rows: list[list[FoundNet]] = []
    for graph in found:
        outputs: dict[str, list[FoundNet]] = {}
        for node in graph.nodes:
            if node.op_type not in KINDS or node.domain not in ("", "ai.onnx"):
                continue
            net = _net(node, graph, path, len(singles))
            singles.append(net)
            row = outputs.get(_behind(node.input[0] if node.input else "", graph))
            if row and row[-1] is not net and feeds(row[-1], net):
                row.append(net)
            else:
                row = [net]
                rows.append(row)
            if node.output:
                outputs[node.output[0]] = row
    return singles, [stack(row, taken=False) if len(row) > 1 else row[0] for row in rows]


def _behind(name: str, graph: Graph) -> str:
    for _ in graph.nodes:
        node = graph.made.get(name)
        if node is None or node.op_type not in THROUGH or not node.input:
            break
        name = node.input[0]
    return name


def _net(node: Any, graph: Graph, path: Path, number: int) -> FoundNet:
    name = node.name.strip("/").replace("/", ".") or f"{node.op_type.lower()}_{number}"
    try:
        layer, notes = _layer(node, graph, path)
    except UserError as error:
        return FoundNet(name, (), str(error))
    return FoundNet(name, (layer,), notes=notes)


INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


def _layer(node: Any, graph: Graph, path: Path) -> tuple[FoundLayer, tuple[str, ...]]:
    given = dict(zip(INPUTS, node.input, strict=False))
    said, kind = attributes(node), KINDS[node.op_type]
    arrays: dict[str, Array] = {}
    for role in ("W", "R", "B", "P"):
        if name := given.get(role):
            array = graph.array(name, path)
            if array is None:
                raise mistake(
                    path, f"{role} of an {node.op_type} node is worked out as the model runs"
                )
            arrays[role] = finite(array.astype(np.float64), path, flat(name))
    directions = 2 if said.get("direction") == "bidirectional" else 1
    gates = len(ONNX[kind])
    shape = arrays["R"].shape if "R" in arrays else ()
    H = shape[-1] if shape else 0
    inputs = arrays["W"].shape[-1] if "W" in arrays and arrays["W"].ndim == 3 else 0
    wanted = {
        "W": (directions, gates * H, inputs), "R": (directions, gates * H, H),
        "B": (directions, 2 * gates * H), "P": (directions, 3 * H),
    }  # fmt: skip
    for role, expected in wanted.items():
        has = arrays[role].shape if role in arrays else None
        if not H or not inputs or (has != expected and (has is not None or role in "WR")):
            raise mistake(
                path, f"{role} of an {node.op_type} node is shaped {has}", expected=f"{expected}"
            )
    options = _options(node.op_type, said, path, directions)
    if "bias" in cells.get(kind).__dataclass_fields__:
        options["bias"] = "B" in arrays
    if "P" in arrays:
        options["peephole"] = "diagonal"
    read = partial(_read, arrays, directions)
    start = _initial(given, kind, graph, path, (directions, H))
    layer = FoundLayer(kind, H, inputs, directions, options, (), read, start)
    return layer, _notes(given, said, graph, path)


def _initial(
    given: Mapping[str, str], kind: str, graph: Graph, path: Path, size: tuple[int, int]
) -> tuple[State, ...] | None:
    """s_0 of each direction, where it is constant and not zero."""
    found: dict[str, Array] = {}
    for role in ("initial_h", "initial_c"):
        array = graph.array(given[role], path) if given.get(role) else None
        if array is None or not array.any():
            continue
        if array.ndim != 3 or array.shape[::2] != size:
            expected = f"({size[0]}, batch, {size[1]})"
            raise mistake(path, f"{role} is shaped {array.shape}", expected=expected)
        found[role] = finite(array.astype(np.float64), path, flat(given[role]))
    if not found:
        return None
    roles = ("initial_h", "initial_c") if kind == "lstm" else ("initial_h",)
    zero = np.zeros((size[0], 1, size[1]))
    return tuple(
        tuple(found.get(role, zero)[way].T[None] for role in roles) for way in range(size[0])
    )


def _notes(
    given: Mapping[str, str], said: Mapping[str, Any], graph: Graph, path: Path
) -> tuple[str, ...]:
    notes = []
    if said.get("direction") == "reverse":
        notes.append("it reads the input from its end: give it inputs in that order")
    for role in ("initial_h", "initial_c"):
        if name := given.get(role):
            array = graph.array(name, path)
            if array is None and (maker := graph.made.get(name)) is None:
                notes.append(f"{role} is an input of the model; here it is zero")
            elif array is None and maker is not None and maker.op_type not in ZEROS:
                notes.append(f"{role} is worked out as the model runs; here it is zero")
    if name := given.get("sequence_lens"):
        lengths = graph.array(name, path)
        own = "come from the model's input" if lengths is None else f"are {lengths.tolist()}"
        notes.append(f"lengths of the sequences {own}; here they come with the data")
    return tuple(notes)


ZEROS = ("Expand", "ConstantOfShape", "Slice")
"""What exporters make zeros of a batch's size with."""


def _options(op: str, said: Mapping[str, Any], path: Path, directions: int) -> dict[str, Any]:
    """The cell's options, without the defaults."""
    if said.get("clip"):
        raise mistake(path, f"an {op} node clips its pre-activations, which no cell here does")
    names = list(said.get("activations", DEFAULTS[op] * directions))
    names = [n.decode() if isinstance(n, bytes) else str(n) for n in names]
    alpha, beta = (list(said.get(f"activation_{name}", ())) for name in ("alpha", "beta"))
    each = [_activation(name, alpha, beta, path) for name in names]
    count = len(DEFAULTS[op])
    if each[:count] * directions != each:
        raise mistake(
            path, f"the directions of an {op} node have other activations", expected="the same"
        )
    keys = {
        "LSTM": ("gate_activation", "activation", "output_activation"),
        "GRU": ("gate_activation", "activation"), "RNN": ("activation",),
    }[op]  # fmt: skip
    plain = {"gate_activation": "sigmoid"}
    options: dict[str, Any] = {
        key: value
        for key, value in zip(keys, each, strict=False)
        if value != plain.get(key, "tanh")
    }
    if op == "GRU":
        options["reset"] = "after" if said.get("linear_before_reset") else "before"
    if op == "LSTM" and said.get("input_forget"):
        options["coupled"] = True
    return options


def _activation(name: str, alpha: list[float], beta: list[float], path: Path) -> str:
    """One activation by our name; those with coefficients take them from the front of the lists."""
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    a = alpha.pop(0) if alpha else {"HardSigmoid": 0.2, "Affine": 1.0}.get(name)
    b = beta.pop(0) if beta else {"HardSigmoid": 0.5, "Affine": 0.0}.get(name)
    if a is not None and b is not None:
        slopes = {"hard_sigmoid_keras2": 0.2, "hard_sigmoid": 1 / 6}
        for ours, slope in slopes.items():
            if name == "HardSigmoid" and abs(a - slope) < 1e-6 and b == 0.5:
                return ours
        if (name, a, b) == ("Affine", 1.0, 0.0):
            return "identity"
    raise mistake(
        path,
        f"the activation {flat(name)} is not known",
        expected="Sigmoid, Tanh, Relu, HardSigmoid",
    )


def _read(arrays: Mapping[str, Array], directions: int, cell: Cell) -> tuple[Params, ...]:
    each = []
    for k in range(directions):
        biases = np.split(arrays["B"][k], 2) if "B" in arrays else []
        others = {"P": arrays["P"][k]} if "P" in arrays else {}
        each.append(
            parameters(cell, ONNX[cell.kind], arrays["W"][k], arrays["R"][k], biases, **others)
        )
    return tuple(each)


def near(found: list[Graph], path: Path) -> list[Near]:
    """Find constant matrices that a product, or a Gather, reads."""
    there = []
    for graph in found:
        for node in graph.nodes:
            for name in node.input:
                tensor = graph.known.get(name)
                if tensor is None or len(tensor.dims) != 2:
                    continue
                called = name.removesuffix(".weight")
                if node.op_type == "Gather":
                    read = partial(_pair, graph, path, name)
                    rows, cols = tensor.dims
                    there.append(Near("embedding", called, rows, cols, read))
                elif node.op_type in ("Gemm", "MatMul"):
                    turned = bool(node.op_type == "Gemm" and attributes(node).get("transB"))
                    rows, cols = tensor.dims if turned else tensor.dims[::-1]
                    bias = _bias(node, graph, rows)
                    read = partial(_pair, graph, path, name, bias, turned=not turned)
                    there.append(Near("head", called, rows, cols, read))
    return there


def _bias(node: Any, graph: Graph, rows: int) -> str | None:
    """The constant that a product adds, or that the next node adds to it."""
    names = list(node.input[2:3])
    for other in graph.nodes if node.op_type == "MatMul" else ():
        if other.op_type == "Add" and node.output[0] in other.input:
            names += other.input
    there = (name for name in names if name in graph.known)
    return next((name for name in there if list(graph.known[name].dims) == [rows]), None)


def _pair(
    graph: Graph, path: Path, weight: str, bias: str | None = None, *, turned: bool = False
) -> tuple[Array, Array | None]:
    """Read a matrix, `turned` if its rows are the inputs, and the bias beside it."""
    each = [
        finite(np.asarray(graph.array(name, path), np.float64), path, flat(name))
        for name in (weight, bias)
        if name is not None
    ]
    return each[0].T if turned else each[0], each[1] if len(each) > 1 else None
