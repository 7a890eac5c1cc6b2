"""The nonlinearities f of cells, and f′ as a function of the output y = f(a).

::

    tanh                  y = tanh(a)                          f′ = 1 − y²
    sigmoid               y = 1 / (1 + e^−a)                   f′ = y (1 − y)
    relu                  y = max(0, a)                        f′ = 1 where y > 0
    identity              y = a                                f′ = 1
    hard_sigmoid          y = min(1, max(0, a/6 + ½))          f′ = 1/6 where 0 < y < 1
    hard_sigmoid_keras2   y = min(1, max(0, a/5 + ½))          f′ = 1/5 where 0 < y < 1
    squash1               y = 2σ(a) − 1, in [−1, 1]            f′ = (1 − y²) / 2
    squash2               y = 4σ(a) − 2, in [−2, 2]            f′ = 1 − y²/4

``hard_sigmoid`` is that of PyTorch and Keras 3, ``hard_sigmoid_keras2`` that of ONNX and Keras
1 and 2; squash1 and squash2 are the h and g of Hochreiter and Schmidhuber (1997). Slopes from
outputs lose digits where units saturate: relative precision ε / f′.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from gradflow.core.cells.arrays import difference, sigmoid
from gradflow.core.typing import Array

__all__ = ["ACTIVATIONS", "CLOSING", "Activation", "GateActivation", "Nonlinearity"]

Activation: TypeAlias = Literal[
    "tanh",
    "sigmoid",
    "relu",
    "identity",
    "hard_sigmoid",
    "hard_sigmoid_keras2",
    "squash1",
    "squash2",
]
"""What may be f."""

GateActivation: TypeAlias = Literal["sigmoid", "hard_sigmoid", "hard_sigmoid_keras2"]
"""What may open a gate: between 0 and 1."""


@dataclass(frozen=True)
class Nonlinearity:
    """An elementwise f and its derivative.

    Parameters
    ----------
    f : callable
        f(a, out=None): elementwise, into `out` if given; NaN stays NaN.
    slope : callable
        f′(a) from y = f(a), a new array.
    scaled : callable or None
        v ⊙ f′(a) from v, v ⊙ y and y, where that is less work than v times the slope.
    """

    f: Callable[..., Array]
    slope: Callable[[Array], Array]
    scaled: Callable[[Array, Array, Array], Array] | None = None

    def times(self, v: Array, vy: Array, y: Array) -> Array:
        """v ⊙ f′(a), from v, v ⊙ y and y."""
        if self.scaled is not None:
            return self.scaled(v, vy, y)
        slope = self.slope(y)
        slope *= v
        return slope


def _relu(a: Array, out: Array | None = None) -> Array:
    s: Array = np.multiply(a, a.real > 0, out=out)  # a product, so that NaN stays NaN
    return s


def _squash(a: Array, most: float, out: Array | None = None) -> Array:
    y: Array = np.multiply(a, 0.5, out=out)
    np.tanh(y, out=y)
    return y if most == 1 else np.multiply(y, most, out=y)


def _inside(y: Array) -> Array:
    within: Array = (y.real > 0) & (y.real < 1)
    return within


def _hard(slope: float) -> Nonlinearity:
    def f(a: Array, out: Array | None = None) -> Array:
        y: Array = np.multiply(a, slope, out=out)
        y += 0.5
        np.copyto(y, 0, where=y.real < 0)
        np.copyto(y, 1, where=y.real > 1)
        return y

    return Nonlinearity(f, lambda y: _inside(y) * y.dtype.type(slope))


def _hard_closing(slope: float) -> Callable[[Array], Array]:
    return lambda y: np.divide(slope, y, out=np.zeros_like(y), where=_inside(y))


ACTIVATIONS: dict[str, Nonlinearity] = {
    "tanh": Nonlinearity(
        np.tanh, lambda y: difference(1, y * y), lambda v, vy, y: difference(v, vy * y)
    ),
    "sigmoid": Nonlinearity(sigmoid, lambda y: y * (1 - y)),
    "relu": Nonlinearity(_relu, lambda y: (y > 0).astype(y.dtype)),
    "identity": Nonlinearity(np.positive, np.ones_like),
    "hard_sigmoid": _hard(1 / 6),
    "hard_sigmoid_keras2": _hard(0.2),
    "squash1": Nonlinearity(lambda a, out=None: _squash(a, 1, out), lambda y: (1 - y * y) / 2),
    "squash2": Nonlinearity(lambda a, out=None: _squash(a, 2, out), lambda y: 1 - y * y / 4),
}
"""By name."""

CLOSING: dict[str, Callable[[Array], Array]] = {
    "sigmoid": lambda y: 1 - y,
    "hard_sigmoid": _hard_closing(1 / 6),
    "hard_sigmoid_keras2": _hard_closing(0.2),
}
"""f′(a) / y of what opens gates: where a gate multiplies by y, that product is there already."""
