"""The readout: what a net says of its outputs, before a loss judges it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from gradflow.core.cells.arrays import product, pull, sigmoid
from gradflow.core.cells.terms import Parameter
from gradflow.core.random import stream
from gradflow.core.typing import Array, DType, Params

__all__ = ["Head", "Readout"]

OutputActivation: TypeAlias = Literal["identity", "logistic"]


@dataclass(frozen=True)
class Readout:
    """o_t = φ(V y_t + S x_t + b), with y_t the top layer's output.

    Parameters
    ----------
    V : array
        ``(nets, m, outputs)``.
    b : array or None
        ``(nets, m, 1)``; None is 0.
    S : array or None
        ``(nets, m, inputs)``: outputs see the input as well (Gers et al. 2000); None is 0.
    activation : {"identity", "logistic"}
        φ; the nets of 1997 have logistic outputs.
    """

    V: Array
    b: Array | None = None
    S: Array | None = None
    activation: OutputActivation = "identity"

    def __post_init__(self) -> None:
        rows = (len(self.V), self.V.shape[-2], 1)
        if self.V.ndim != 3 or (self.b is not None and self.b.shape != rows):
            shape = None if self.b is None else self.b.shape
            raise ValueError(f"V and b of a readout do not fit: {self.V.shape} and {shape}")

    @classmethod
    def draw(cls, rows: int, outputs: int, seeds: Sequence[int], dtype: DType) -> Readout:
        """Draw V ~ N(0, 1/outputs) for each net by its seed; without b."""
        each = [stream(seed, "readout").standard_normal((rows, outputs)) for seed in seeds]
        return cls((np.stack(each) / np.sqrt(outputs)).astype(dtype))

    def __call__(self, y: Array, x: Array | None = None) -> Array:
        """o of any number of steps, ``(..., nets, outputs, columns)``; x where there is an S."""
        o = product(self.V, y)
        if self.S is not None:
            o = o + self.S @ x
        if self.b is not None:
            o = o + self.b
        return sigmoid(o) if self.activation == "logistic" else o

    def vjp(self, do: Array, o: Array | None = None) -> Array:
        """∂L/∂y = Vᵀ da; see `summed` for o."""
        return pull(self.V, self._before(do, o))

    def summed(self, y: Array, x: Array, o: Array, do: Array) -> dict[str, Array]:
        """∂L/∂V, ∂L/∂S and ∂L/∂b, summed over steps and columns.

        Parameters
        ----------
        y, x, o, do : array
            What was read, what was answered and its cotangent, ``(steps, nets, ·, columns)``.
        """
        da = self._before(do, o)
        grads = {"V": _outer(da, y)}
        if self.S is not None:
            grads["S"] = _outer(da, x)
        if self.b is not None:
            grads["b"] = da.sum(axis=(0, -1))[..., None]
        return grads

    def _before(self, do: Array, o: Array | None) -> Array:
        """The cotangent before φ, whose slope is taken from o."""
        return do if self.activation == "identity" or o is None else do * (o * (1 - o))


@dataclass(frozen=True)
class Head:
    """The form of a readout whose parameters are learnt.

    Parameters
    ----------
    rows : int
        Number of outputs m.
    bias, shortcut : bool
        Whether there are b and S.
    activation : {"identity", "logistic"}
        φ.
    """

    rows: int
    bias: bool = True
    shortcut: bool = False
    activation: OutputActivation = "identity"

    def parameters(self, outputs: int, inputs: int) -> dict[str, Parameter]:
        """Shapes of V and, where they exist, S and b, for a net of so many outputs and inputs."""
        out = {"V": Parameter("readout", ("o",), self.rows, outputs)}
        if self.shortcut:
            out["S"] = Parameter("readout", ("o",), self.rows, inputs)
        if self.bias:
            out["b"] = Parameter("bias", ("o",), self.rows, 1)
        return out

    def of(self, p: Params) -> Readout:
        """The readout with these parameters."""
        return Readout(**p, activation=self.activation)


def _outer(left: Array, right: Array) -> Array:
    """Σ left rightᵀ over steps and columns, ``(nets, rows, cols)``."""
    total: Array = (left @ right.swapaxes(-1, -2)).sum(axis=0)
    return np.ascontiguousarray(total)
