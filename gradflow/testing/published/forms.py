"""Published outputs of recurrent cells, in the layout of their sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradflow.core.typing import Array

__all__ = ["SMALL_X", "Keras", "Onnx", "both", "numbers"]


@dataclass(frozen=True)
class Onnx:
    """One case of ONNX Runtime's: an operator's attributes, its inputs, and what it must give.

    x is (steps, batch, inputs), W and R (directions, gates · hidden, ·), B (directions,
    2 · gates · hidden: input biases, then recurrent ones), P (directions, 3 · hidden); gates are
    i,o,f,c and z,r,h, peepholes i,o,f; Y (steps, directions, batch, hidden).
    """

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
        """How many directions the arrays hold."""
        return 2 if self.direction == "bidirectional" else 1


@dataclass(frozen=True)
class Keras:
    """One case of Keras's: constant weights, and the last output.

    x is (batch, steps, inputs); every kernel is one constant, every recurrent kernel another.
    """

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
    """Values as an array."""
    return np.array(values, dtype=float)


def both(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """The same weights for both directions, as the source duplicates them."""
    return {k: v if k == "x" else np.concatenate([v, v]) for k, v in arrays.items()}


SMALL_X = numbers(-0.455351, -0.276391, -0.185934, -0.269585).reshape(2, 1, 2)
"""One sequence of two steps that ONNX Runtime's LSTM and GRU cases share."""
