"""What other projects state in their own tests, in the layout of its source and in our conventions.

Only numbers are taken; `published.json` has them as they were computed and printed, in single
precision. Of ONNX Runtime's TestLSTMShorterSeqInMiddle sequence 0 is left out: one of its numbers,
-0.04350187, is that of TestLSTMOutputWrite, with other activations, and 6e-5 off here (the source
compares more loosely).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gradflow.core.engine.forward import forward, outputs
from gradflow.core.engine.tape import Keep
from gradflow.core.network.stack import Network, States, Weights
from gradflow.core.typing import Array

__all__ = ["SINGLE", "Keras", "Onnx", "Published", "stated"]

SINGLE = 1e-6
"""Relative error that numbers in single precision may have after a few steps."""


@dataclass(frozen=True)
class Published:
    """Outputs that a project states for a network given in full.

    Parameters
    ----------
    name : str
        The project and its test.
    net, weights : Network, Weights
        The network.
    x : array
        Inputs ``(steps, 1, inputs, sequences)``.
    states : States
        The initial state of each layer and direction.
    outputs : array
        The top layer's outputs ``(steps, 1, outputs, sequences)``; NaN where nothing is stated.
    c : array or None
        The final cell state ``(1, outputs, sequences)``, both directions one after the other.
    """

    name: str
    net: Network
    weights: Weights
    x: Array
    states: States
    outputs: Array
    c: Array | None = None

    def error(self) -> float:
        """Largest distance between an output (or c) and its published value, over its norm."""
        return max(_distance(got, want) for got, want in self._pairs())

    def _pairs(self) -> Iterator[tuple[Array, Array]]:
        """Computed and published arrays ``(1, features, sequences)``, one step after another."""
        steps = len(self.x)
        tapes, after = forward(
            self.net, self.weights, self.x, self.states, [(0, steps)], keep=Keep.STATES
        )
        yield from zip(outputs(tapes[-1]), self.outputs, strict=True)
        if self.c is not None:
            yield np.concatenate([state[1] for state in after[-1]], axis=1), self.c


def _distance(got: Array, want: Array) -> float:
    known = ~np.isnan(want)
    gap = np.linalg.norm(np.where(known, got - want, 0), axis=1)
    size = np.linalg.norm(np.where(known, want, 0), axis=1)
    return float(np.max(gap / np.where(size > 0, size, 1)))


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


def stated() -> tuple[list[Onnx], list[Keras], Array]:
    """Read the cases of ONNX Runtime and of Keras, and what the latter's linear stack gives."""
    text = Path(__file__).with_name("published.json").read_text(encoding="utf-8")
    cases = json.loads(text, object_hook=_arrays)
    onnx = [Onnx(**case) for case in cases["onnx"]]
    return onnx, [Keras(**case) for case in cases["keras"]], np.array(cases["linear stack"], float)


def _arrays(case: dict[str, Any]) -> dict[str, Any]:
    """Lists of numbers as arrays, where they belong to a case."""
    if "test" not in case:
        return case
    initial = tuple(np.array(part, float) for part in case.pop("initial", ()))
    given = {k: np.array(v, float) if isinstance(v, list) else v for k, v in case.items()}
    return {**given, "initial": initial} if initial else given
