"""Forward values agree with numbers that other projects publish (see `tests.vectors`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.core.cells import Cell
from tests import reference
from tests.vectors import Array, Keras, Onnx
from tests.vectors.gru import GRU
from tests.vectors.keras import KERAS, LINEAR_STACK
from tests.vectors.lstm import LSTM
from tests.vectors.rnn import RNN

SINGLE = {"rtol": 1e-6, "atol": 2e-7}
"""The sources computed and printed in single precision."""


def unroll(
    cell: Cell, p: Mapping[str, Array], x: Array, initial: Iterable[Array | None] = ()
) -> tuple[Array, list[Array]]:
    """Outputs (steps, batch, hidden) over x (steps, batch, inputs), and the last state."""
    nets = {name: array[None] for name, array in p.items()}
    zero = np.zeros((x.shape[1], cell.hidden))
    given = [zero if part is None else part for part in initial] or [zero for _ in cell.parts]
    state = tuple(part.T[None] for part in given)
    outputs = []
    for drive in cell.drive(nets, x.transpose(0, 2, 1)[:, None]):
        state, _ = cell.step(nets, state, drive)
        outputs.append(state[0][0].T)
    return np.stack(outputs), [part[0].T for part in state]


def arrange(cell: Cell, **by_gate: Mapping[str, Array]) -> dict[str, Array]:
    """Stack blocks named by gate into the cell's parameters (U, W, b, …)."""
    layout = cell.parameters(by_gate["U"]["g"].shape[1])
    return {
        name: np.concatenate([by_gate[name][gate] for gate in parameter.blocks])
        for name, parameter in layout.items()
    }


def split(array: Array, gates: str) -> dict[str, Array]:
    array = array if array.ndim == 2 else array[:, None]
    return dict(zip(gates, np.split(array, len(gates)), strict=True))


def from_onnx(case: Onnx, direction: int) -> tuple[Cell, dict[str, Array]]:
    """ONNX's conventions turned into ours.

    Its z keeps the old state where ours takes the new one, and its coupled gate is i where ours is
    f: σ(−a) = 1 − σ(a), so those rows change sign. Its candidate is called h or c, ours g.
    """
    gates = {"LSTM": "iofg", "GRU": "zrg", "RNN": "g"}[case.op]
    B = np.zeros(2 * len(gates) * case.hidden) if case.B is None else case.B[direction]
    biases = [split(b, gates) for b in np.split(B, 2)]
    groups = {
        "U": split(case.W[direction], gates),
        "W": split(case.R[direction], gates),
        "b": {gate: biases[0][gate] + biases[1][gate] for gate in gates},
    }
    if case.op == "RNN":
        return (cell := cells.get("rnn")(case.hidden)), arrange(cell, **groups)
    if case.op == "GRU":
        after = bool(case.attributes.get("linear_before_reset"))
        cell = cells.get("gru")(case.hidden, reset="after" if after else "before")
        if after:
            groups["b"]["g"] = biases[0]["g"]
            groups["b_rec"] = {"g": biases[1]["g"]}
        for group in "UWb":
            groups[group]["z"] = -groups[group]["z"]
        return cell, arrange(cell, **groups)
    coupled = bool(case.attributes.get("input_forget"))
    peephole = "none" if case.P is None else "diagonal"
    if case.P is not None:
        groups["P"] = split(case.P[direction], "iof")
    if coupled:
        for group in groups.values():
            group["f"] = -group["i"]
    cell = cells.get("lstm")(case.hidden, peephole=peephole, coupled=coupled)
    return cell, arrange(cell, **groups)


@pytest.mark.parametrize("case", [*LSTM, *GRU, *RNN], ids=lambda case: case.test)
def test_onnxruntime(case: Onnx):
    for direction in range(case.directions):
        cell, p = from_onnx(case, direction)
        backwards = case.direction == "reverse" or direction == 1
        x = case.x[::-1] if backwards else case.x
        given = [part if part is None else part[direction] for part in (case.h0, case.c0)]
        outputs, last = unroll(cell, p, x, given[: len(cell.parts)])
        outputs = outputs[::-1] if backwards else outputs
        np.testing.assert_allclose(outputs, case.Y[:, direction], **SINGLE)
        if case.Y_c is not None:
            np.testing.assert_allclose(last[1], case.Y_c[direction], **SINGLE)


@pytest.mark.parametrize(
    "case", [c for c in (*LSTM, *GRU, *RNN) if c.h0 is None], ids=lambda case: case.test
)
def test_reference(case: Onnx):
    """So does the reference that gradients are tested against."""
    for direction in range(case.directions):
        cell, p = from_onnx(case, direction)
        nets = {name: array[None] for name, array in p.items()}
        backwards = case.direction == "reverse" or direction == 1
        x = case.x[::-1] if backwards else case.x
        outputs = reference.unroll(cell, [[nets]], x.astype(complex)).real
        outputs = outputs[::-1] if backwards else outputs
        np.testing.assert_allclose(outputs, case.Y[:, direction], **SINGLE)


def from_keras(case: Keras) -> tuple[Cell, dict[str, Array]]:
    """Constant weights: unit_forget_bias sets b_f = 1, reset_after has both biases."""
    H, F = case.units, case.x.shape[-1]
    gates = {"lstm": "fiog", "gru": "zrg", "rnn": "g"}[case.kind]
    bias = 0.0 if case.bias is None else case.bias
    groups = {
        "U": {gate: np.full((H, F), case.kernel) for gate in gates},
        "W": {gate: np.full((H, H), case.recurrent) for gate in gates},
        "b": {gate: np.full((H, 1), bias) for gate in gates},
    }
    options = {}
    if case.kind == "lstm" and case.unit_forget_bias and case.bias is not None:
        groups["b"]["f"] = np.ones((H, 1))
    if case.kind == "gru":
        options["reset"] = "after" if case.reset_after else "before"
        if case.reset_after:
            groups["b_rec"] = {"g": np.full((H, 1), bias)}
            for gate in "zr":
                groups["b"][gate] = np.full((H, 1), 2 * bias)
        for group in "UWb":
            groups[group]["z"] = -groups[group]["z"]
    cell = cells.get(case.kind)(H, **options)
    return cell, arrange(cell, **groups)


@pytest.mark.parametrize("case", KERAS, ids=lambda case: case.test)
def test_keras(case: Keras):
    cell, p = from_keras(case)
    x = np.tile(case.x.transpose(1, 0, 2), (case.repeat, 1, 1))
    orders = [1, -1] if case.bidirectional else [-1 if case.go_backwards else 1]
    ends = [unroll(cell, p, x[::order], case.initial) for order in orders]
    last = np.concatenate([outputs[-1] for outputs, _ in ends], axis=1)
    np.testing.assert_allclose(last, case.last, **SINGLE)
    if case.c is not None:
        c = np.concatenate([state[1] for _, state in ends], axis=1)
        np.testing.assert_allclose(c, case.c, **SINGLE)


@pytest.mark.parametrize("case", [c for c in KERAS if c.bias is None], ids=lambda case: case.test)
def test_no_bias_is_a_bias_of_zero(case: Keras):
    """GRU has a form of its own without biases; the LSTM always has them."""
    cell, p = from_keras(case)
    if not hasattr(cell, "bias"):
        return
    bare = type(cell)(cell.hidden, reset=cell.reset, bias=False)
    outputs, _ = unroll(bare, {name: p[name] for name in "UW"}, case.x.transpose(1, 0, 2))
    np.testing.assert_allclose(outputs[-1], case.last, **SINGLE)


def test_keras_linear_stack():
    x = np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2)
    for units in (3, 2):
        cell = cells.get("rnn")(units, activation="identity", bias=False)
        x, _ = unroll(cell, {"U": np.ones((units, x.shape[-1])), "W": np.ones((units, units))}, x)
    np.testing.assert_array_equal(x, np.repeat(LINEAR_STACK.T[..., None], 2, axis=-1))
