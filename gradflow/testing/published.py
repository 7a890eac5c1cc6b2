"""Published outputs of recurrent cells: numbers that other projects state in their own tests.

Their conventions are turned into ours: our z takes the new candidate where theirs keeps the old
state, and our coupled gate is f where ONNX's is i: σ(−a) = 1 − σ(a), so those rows change sign.
ONNX's candidate is called h or c, ours g.

Sources
-------
ONNX Runtime, https://github.com/microsoft/onnxruntime, MIT licence, files under
onnxruntime/test/providers/cpu/rnn/: deep_cpu_lstm_op_test.cc (commit 00ca16892218),
deep_cpu_gru_op_test.cc (commit 0291220be484), rnn_op_test.cc (commit 1164b9004066).

Keras, https://github.com/keras-team/keras, Apache-2.0 licence, files under keras/src/layers/rnn/:
lstm_test.py (commit 12ada9a35eed), gru_test.py (commit 03313da2aabb), simple_rnn_test.py (commit
4e66d1b32a36), bidirectional_test.py (commit 17dff27bfe57), stacked_rnn_cells_test.py (commit
51d7e77046f5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from gradflow.core.cells import GRU, LSTM, RNN, Cell
from gradflow.core.network.stack import Layer, Network, States
from gradflow.core.typing import Array
from gradflow.testing.foreign import SINGLE, Keras, Onnx, Published, stated

__all__ = ["SINGLE", "Published", "published"]

Groups: TypeAlias = dict[str, dict[str, Array]]
"""Blocks of parameters by name and gate."""

GATES = {"LSTM": "iofg", "GRU": "zrg", "RNN": "g"}


@cache
def published(label: str | None = None) -> tuple[Published, ...]:
    """All published cases, or those of the cell with a label."""
    if label is not None:
        return tuple(case for case in published() if case.net.label == label)
    onnx, keras, last = stated()
    cases = [case for one in onnx for case in _from_onnx(one)]
    cases += [case for one in keras for case in _from_keras(one)]
    return (*cases, _linear_stack(last))


def _from_onnx(case: Onnx) -> Iterator[Published]:
    """One of ONNX Runtime's cases, for every cell that it describes.

    Without biases also the cell that has none; with peepholes also the cell whose peepholes are
    matrices, here diagonal ones.
    """
    pairs = [_onnx_direction(case, direction) for direction in range(case.directions)]
    cell, each = pairs[0][0], [p for _, p in pairs]
    backwards = case.direction == "reverse"
    order = -1 if backwards else 1
    given = [None if a is None else list(a) for a in (case.h0, case.c0)][: len(cell.parts)]
    published = Published(
        name=f"ONNX Runtime {case.test}",
        net=Network.of(cell, case.x.shape[-1], bidirectional=case.directions == 2),
        weights=(tuple(_nets(p) for p in each),),
        x=_columns(case.x[::order]),
        states=_states(cell, case.directions, case.x.shape[1], given),
        outputs=_columns(np.concatenate(list(case.Y[::order].swapaxes(0, 1)), axis=-1)),
        c=None if case.Y_c is None else np.concatenate(case.Y_c.swapaxes(1, 2))[None],
    )
    yield published
    if case.B is None:
        yield from _without_bias(published)
    if case.P is not None:
        yield _with_matrices(published)


def _onnx_direction(case: Onnx, direction: int) -> tuple[Cell, dict[str, Array]]:
    gates = GATES[case.op]
    B = np.zeros(2 * len(gates) * case.hidden) if case.B is None else case.B[direction]
    biases = [_split(b, gates) for b in np.split(B, 2)]
    groups = {
        "U": _split(case.W[direction], gates),
        "W": _split(case.R[direction], gates),
        "b": {gate: biases[0][gate] + biases[1][gate] for gate in gates},
    }
    cell: Cell
    if case.op == "RNN":
        cell = RNN(case.hidden)
    elif case.op == "GRU":
        after = bool(case.attributes.get("linear_before_reset"))
        cell = GRU(case.hidden, reset="after" if after else "before")
        groups["b_rec"] = {"g": biases[1]["g"]}
        if after:
            groups["b"]["g"] = biases[0]["g"]
        _turn_z(groups)
    else:
        coupled = bool(case.attributes.get("input_forget"))
        cell = LSTM(case.hidden, "none" if case.P is None else "diagonal", coupled=coupled)
        if case.P is not None:
            groups["P"] = _split(case.P[direction], "iof")
        if coupled:
            for group in groups.values():
                group["f"] = -group["i"]
    return cell, _arrange(cell, groups)


def _from_keras(case: Keras) -> Iterator[Published]:
    """One of Keras's cases; without biases also the cell that has none.

    ``unit_forget_bias`` sets b_f = 1, ``reset_after`` has both biases. A backward direction is
    stated at its own end.
    """
    cell, p = _keras_cell(case)
    H, ways = case.units, 2 if case.bidirectional else 1
    x = np.tile(case.x.transpose(1, 0, 2), (case.repeat, 1, 1))
    x = x[::-1] if case.go_backwards else x
    wanted = np.full((len(x), 1, ways * H, x.shape[1]), np.nan)
    wanted[-1, 0, :H] = case.last.T[:H]
    wanted[0, 0, H:] = case.last.T[H:]
    given: list[list[Array] | None] = [[a] * ways for a in case.initial]
    published = Published(
        name=f"Keras {case.test}",
        net=Network.of(cell, x.shape[-1], bidirectional=case.bidirectional),
        weights=((_nets(p),) * ways,),
        x=_columns(x),
        states=_states(cell, ways, x.shape[1], given or [None] * len(cell.parts)),
        outputs=wanted,
        c=None if case.c is None else case.c.T[None],
    )
    yield published
    if case.bias is None:
        yield from _without_bias(published)


def _keras_cell(case: Keras) -> tuple[Cell, dict[str, Array]]:
    H, F = case.units, case.x.shape[-1]
    gates = {"lstm": "fiog", "gru": "zrg", "rnn": "g"}[case.kind]
    bias = 0.0 if case.bias is None else case.bias
    groups = {
        "U": {gate: np.full((H, F), case.kernel) for gate in gates},
        "W": {gate: np.full((H, H), case.recurrent) for gate in gates},
        "b": {gate: np.full((H, 1), bias) for gate in gates},
        "b_rec": {"g": np.full((H, 1), bias)},
    }
    cell: Cell = RNN(H)
    if case.kind == "lstm":
        cell = LSTM(H)
        if case.unit_forget_bias and case.bias is not None:
            groups["b"]["f"] = np.ones((H, 1))
    elif case.kind == "gru":
        cell = GRU(H, reset="after" if case.reset_after else "before")
        if case.reset_after:
            groups["b"] |= {gate: np.full((H, 1), 2 * bias) for gate in "zr"}
        _turn_z(groups)
    return cell, _arrange(cell, groups)


def _linear_stack(last: Array) -> Published:
    """Two linear layers of unequal width: the upper one, over what the lower one gives."""
    x = _columns(np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2))

    units = [RNN(size, "identity", bias=False) for size in (3, 2)]
    net = Network(4, tuple(map(Layer, units)))
    shapes = [net.parameters(layer) for layer in range(2)]
    weights = tuple(
        ({name: np.ones((1, *one.shape)) for name, one in each.items()},) for each in shapes
    )
    wanted = np.repeat(last.T[:, None, None], 2, axis=2)
    name = "Keras StackedRNNTest.test_correctness_single_state_stack"
    return Published(name, net, weights, x, net.initial(1, 2, x.dtype), wanted)


def _without_bias(case: Published) -> Iterator[Published]:
    """The same of the cell without biases, where it has such a form."""
    cell = case.net.layers[0].cell
    if isinstance(cell, RNN | GRU):
        plain: Any = {"bias": False}
        net = case.net.of_cells(lambda cell: replace(cell, **plain))
        kept = tuple({name: p[name] for name in "UW"} for p in case.weights[0])
        yield replace(case, net=net, weights=(kept,))


def _with_matrices(case: Published) -> Published:
    """The same with peepholes that are matrices."""
    cell = case.net.layers[0].cell
    H = cell.hidden

    def spread(P: Array) -> Array:
        rows: Array = P.reshape(1, -1, H)[..., None] * np.eye(H)
        return rows.reshape(1, -1, H)

    kept = tuple({**p, "P": spread(p["P"])} for p in case.weights[0])
    full: Any = {"peephole": "full"}
    return replace(case, net=case.net.of_cells(lambda cell: replace(cell, **full)), weights=(kept,))


def _turn_z(groups: Groups) -> None:
    for name in "UWb":
        groups[name]["z"] = -groups[name]["z"]


def _arrange(cell: Cell, by_gate: Groups) -> dict[str, Array]:
    """Stack blocks named by gate into the cell's parameters (U, W, b, …)."""
    layout = cell.parameters(by_gate["U"]["g"].shape[1])
    return {
        name: np.concatenate([by_gate[name][gate] for gate in parameter.blocks])
        for name, parameter in layout.items()
    }


def _split(array: Array, gates: str) -> dict[str, Array]:
    array = array if array.ndim == 2 else array[:, None]
    return dict(zip(gates, np.split(array, len(gates)), strict=True))


def _nets(p: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array[None] for name, array in p.items()}


def _columns(sequence: Array) -> Array:
    """(steps, batch, features) → (steps, 1, features, batch)."""
    return sequence.transpose(0, 2, 1)[:, None]


def _states(
    cell: Cell, directions: int, batch: int, given: Sequence[Sequence[Array] | None]
) -> States:
    """Initial states of one layer from (batch, hidden) for each part and direction; None is 0."""
    zero = [np.zeros((batch, cell.hidden))] * directions
    parts = [zero if part is None else part for part in given]
    return (tuple(tuple(part[d].T[None] for part in parts) for d in range(directions)),)
