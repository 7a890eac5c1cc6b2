"""The head of a net that learns: o = φ(V h + S x + b), of the top layer's output and x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradflow.core.cells.arrays import pull, sigmoid
from gradflow.core.cells.terms import Parameter
from gradflow.core.typing import Array, Params

__all__ = ["Head"]


@dataclass(frozen=True)
class Head:
    """o_t = φ(V h_t + S x_t + b).

    Parameters
    ----------
    rows : int
        Number of outputs m.
    bias : bool
        Whether there is a b.
    shortcut : bool
        Whether outputs see the input as well, through S (Gers et al. 2000).
    activation : {"identity", "logistic"}
        φ; the nets of 1997 have logistic outputs.
    """

    rows: int
    bias: bool = True
    shortcut: bool = False
    activation: Literal["identity", "logistic"] = "identity"

    def parameters(self, outputs: int, inputs: int) -> dict[str, Parameter]:
        """Shapes of V and, where they exist, S and b, for a net of so many outputs and inputs."""
        out = {"V": Parameter("readout", ("o",), self.rows, outputs)}
        if self.shortcut:
            out["S"] = Parameter("readout", ("o",), self.rows, inputs)
        if self.bias:
            out["b"] = Parameter("bias", ("o",), self.rows, 1)
        return out

    def __call__(self, p: Params, h: Array, x: Array) -> Array:
        """o for any number of steps at once: ``(..., nets, m, columns)``."""
        o = p["V"] @ h
        if self.shortcut:
            o = o + p["S"] @ x
        if self.bias:
            o = o + p["b"]
        return sigmoid(o) if self.activation == "logistic" else o

    def vjp(
        self, p: Params, h: Array, x: Array, o: Array, do: Array
    ) -> tuple[Array, dict[str, Array]]:
        """∂L/∂h of each step, and ∂L/∂V, ∂L/∂S, ∂L/∂b summed over steps and columns.

        Parameters
        ----------
        p : Params
            V, S, b.
        h, x, o, do : array
            What was read, what was answered and its cotangent, ``(steps, nets, ·, columns)``.
        """
        da = do * (o * (1 - o)) if self.activation == "logistic" else do
        grads = {"V": _outer(da, h)}
        if self.shortcut:
            grads["S"] = _outer(da, x)
        if self.bias:
            grads["b"] = da.sum(axis=(0, -1))[..., None]
        return pull(p["V"], da), grads


def _outer(left: Array, right: Array) -> Array:
    """Σ left rightᵀ over steps and columns, ``(nets, rows, cols)``."""
    total: Array = (left @ right.swapaxes(-1, -2)).sum(axis=0)
    return np.ascontiguousarray(total)
