"""A cell of one's own whose update gate z keeps, as PyTorch's does, where the GRU's lets go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gradflow.core import cells
from gradflow.core.cells import (
    Carrousel,
    Cell,
    MemoryGate,
    Parameter,
    blocks,
    like,
    product,
    pull,
    sigmoid,
)


@dataclass(frozen=True)
class Keeping(Cell):
    """h_t = z_t ⊙ h_{t−1} + (1 − z_t) ⊙ g_t, both from U x_t + W h_{t−1} + b."""

    kind: ClassVar[str] = "keeping"

    @property
    def gates(self):
        return ("z", "g")

    @property
    def memory_gates(self):
        return (MemoryGate("z", 1),)

    def parameters(self, inputs):
        H = self.hidden
        return {
            "U": Parameter("input", self.gates, H, inputs),
            "W": Parameter("recurrent", self.gates, H, H),
            "b": Parameter("bias", self.gates, H, 1),
        }

    def step(self, p, state, u):
        (h,) = state
        a_z, a_g = blocks(product(p["W"], h) + u, 2)
        z, g = sigmoid(a_z), np.tanh(a_g)
        return (z * h + (1 - z) * g,), (z, g, h - g)

    def linearise(self, p, cache):
        z, g, gap = cache
        return z.copy(), z * (1 - z) * gap, (1 - z) * (1 - g * g)

    def step_vjp(self, p, local, dstate):
        z, dz, dg = local
        (dh,) = dstate
        da = like(dh, 2 * self.hidden)
        for part, slope in zip(blocks(da, 2), (dz, dg), strict=True):
            part[...] = dh * slope
        return (z * dh + pull(p["W"], da),), da, ()

    def carrousel(self, local):
        return Carrousel(local[0], None)

    def open_gates(self, cache):
        return {"z": cache[0]}


@dataclass(frozen=True)
class Traced(Cell):
    """h_t = tanh(U x_t + W h_{t−1} + b + m_{t−1}); trace m_t = λ m_{t−1} + (1 − λ) h_{t−1}."""

    decay: float = 0.9

    kind: ClassVar[str] = "traced"
    parts: ClassVar[tuple[str, ...]] = ("h", "m")

    @property
    def gates(self):
        return ("g",)

    def parameters(self, inputs):
        H = self.hidden
        return {
            "U": Parameter("input", self.gates, H, inputs),
            "W": Parameter("recurrent", self.gates, H, H),
            "b": Parameter("bias", self.gates, H, 1),
        }

    def step(self, p, state, u):
        h, m = state
        new = np.tanh(product(p["W"], h) + u + m)
        return (new, self.decay * m + (1 - self.decay) * h), (new,)

    def linearise(self, p, cache):
        return (1 - cache[0] * cache[0],)

    def step_vjp(self, p, local, dstate):
        dh, dm = dstate
        da = local[0] * dh
        return (pull(p["W"], da) + (1 - self.decay) * dm, self.decay * dm + da), da, (dm,)


@contextmanager
def registered(*kinds: type[Cell]) -> Iterator[None]:
    """Know these kinds of cell for a while."""
    registry: dict[str, Any] = cells.CELLS.known
    before = dict(registry)
    try:
        for kind in kinds:
            cells.register(kind)
        yield
    finally:
        registry.clear()
        registry.update(before)
