"""The readout: what a net says of its outputs, before a loss judges it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradflow.core.cells.arrays import product, pull
from gradflow.core.random import stream
from gradflow.core.typing import Array, DType

__all__ = ["Readout"]


@dataclass(frozen=True)
class Readout:
    """o_t = V y_t + b, with y_t the top layer's output.

    Parameters
    ----------
    V : array
        ``(nets, m, outputs)``.
    b : array or None
        ``(nets, m, 1)``; None is 0.
    """

    V: Array
    b: Array | None = None

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

    def __call__(self, y: Array) -> Array:
        """o of outputs ``(..., nets, outputs, columns)``."""
        o = product(self.V, y)
        return o if self.b is None else o + self.b

    def vjp(self, do: Array) -> Array:
        """∂L/∂y = Vᵀ ∂L/∂o."""
        return pull(self.V, do)
