"""The cotangents themselves."""

from __future__ import annotations

from gradflow.core.engine.observe import Block
from gradflow.core.engine.tape import Keep
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array

__all__ = ["Vectors"]


class Vectors:
    """The cotangents themselves, for tests and for looking closely: log-free, m and e apart.

    ``h[layer, direction, step]`` and so on are `Scaled` with one part ``([lengths,] nets, hidden,
    columns)``; ``x[step]`` likewise.
    """

    needs = Keep.NOTHING
    needs_inputs = True

    def __init__(self) -> None:
        self.parts: dict[tuple[str, int, int, int], Scaled] = {}
        self.x: dict[int, Scaled] = {}

    def block(self, block: Block) -> None:
        """Keep every part and every total."""
        swept, place = block.swept, (block.layer, block.direction)
        for k, (dstate, totals) in enumerate(zip(swept.dstates, swept.totals, strict=True)):
            step = block.first + k + 1
            for part, value in zip(block.cell.parts, dstate, strict=True):
                self._keep(
                    part if part == "h" else f"carried_{part}", place, step, value, swept.exponent
                )
            for part, value in zip(block.cell.parts[1:], totals, strict=True):
                self._keep(part, place, step, value, swept.exponent)
        if block.first == 0:
            for part, value in zip(block.cell.parts, swept.before, strict=True):
                self._keep(part, place, 0, value, swept.exponent)
                if part != "h":
                    self._keep(f"carried_{part}", place, 0, value, swept.exponent)

    def _keep(self, name: str, place: tuple[int, int], step: int, value: Array, e: Array) -> None:
        self.parts[name, *place, step] = Scaled((value,), e)

    def inputs(self, first: int, dx: Scaled) -> None:
        """Keep ∂L/∂x."""
        for k in range(len(dx.values)):
            self.x[first + k + 1] = dx[k]
