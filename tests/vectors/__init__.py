"""Published outputs of recurrent cells: numbers that other projects state in their own tests.

Only the numbers are taken. Arrays keep the layout of their source:

- ONNX Runtime (ONNX operators LSTM, GRU, RNN): x (steps, batch, inputs), W and R
  (directions, gates · hidden, ·), B (directions, 2 · gates · hidden: input biases, then recurrent
  ones), P (directions, 3 · hidden), gates i,o,f,c and z,r,h, peepholes i,o,f; outputs
  Y (steps, directions, batch, hidden).
- Keras: x (batch, steps, inputs); every kernel is one constant, every recurrent kernel another.

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

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Onnx:
    """One case of ONNX Runtime's: an operator's attributes, its inputs, and what it must give."""

    test: str
    op: str
    hidden: int
    x: Array
    W: Array
    R: Array
    Y: Array
    B: Array | None = None
    P: Array | None = None
    h0: Array | None = None
    c0: Array | None = None
    Y_c: Array | None = None
    direction: str = "forward"
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def directions(self) -> int:
        return 2 if self.direction == "bidirectional" else 1


@dataclass(frozen=True)
class Keras:
    """One case of Keras's: constant weights, and the last output (or all of them)."""

    test: str
    kind: str
    units: int
    x: Array
    last: Array
    kernel: float = 0.01
    recurrent: float = 0.02
    bias: float | None = 0.03
    unit_forget_bias: bool = True
    reset_after: bool = True
    go_backwards: bool = False
    bidirectional: bool = False
    initial: tuple[Array, ...] = ()
    repeat: int = 1
    c: Array | None = None


def numbers(*values: float) -> Array:
    return np.array(values, dtype=float)


def both(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The same weights for both directions, as the source duplicates them."""
    return {k: v if k == "x" else np.concatenate([v, v]) for k, v in arrays.items()}


SMALL_X = numbers(-0.455351, -0.276391, -0.185934, -0.269585).reshape(2, 1, 2)
"""One sequence of two steps that ONNX Runtime's LSTM and GRU cases share."""
