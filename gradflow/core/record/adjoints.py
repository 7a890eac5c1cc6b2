"""States' derivatives summed over several passes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gradflow.core.engine.observe import Block
from gradflow.core.engine.tape import Keep
from gradflow.core.network.stack import Network
from gradflow.core.record.series import Series
from gradflow.core.scaled import Scaled

__all__ = ["Adjoints"]


class Adjoints:
    """∂L/∂s_k where L is the sum of the losses of several passes, each of one length.

    ``sums[layer, direction, step]`` has the parts of ∂L/∂s_k as free inputs of what follows, and
    then the total derivatives of the parts after ``h``.
    """

    needs = Keep.NOTHING
    needs_inputs = False

    def __init__(self, net: Network) -> None:
        self.net = net
        self.sums: dict[tuple[int, int, int], Scaled] = {}

    def block(self, block: Block) -> None:
        """Add the block's steps, and state 0 where the block starts there."""
        swept = block.swept
        each = [d + t for d, t in zip(swept.dstates, swept.totals, strict=True)]
        for k, parts in enumerate(each, start=block.first + 1):
            self._add((block.layer, block.direction, k), Scaled(parts, swept.exponent))
        if block.first == 0:
            origin = Scaled(swept.before + swept.before[1:], swept.exponent)
            self._add((block.layer, block.direction, 0), origin)

    def _add(self, key: tuple[int, int, int], term: Scaled) -> None:
        self.sums[key] = self.sums[key] + term if key in self.sums else term

    def inputs(self, first: int, dx: Scaled) -> None:
        """These are the states'."""

    def fill(self, series: Mapping[str, Series]) -> None:
        """Put the norms into series that are named ``h``, ``s`` and as the cell's other parts."""
        for (layer, direction, step), total in self.sums.items():
            parts = self.net.layers[layer].cell.parts
            for name, own in series.items():
                if name not in ("s", *parts):
                    continue
                if name == "s":
                    vector = np.concatenate(total.parts[: len(parts)], axis=-2)
                elif name == "h":
                    vector = total.parts[0]
                else:
                    vector = total.parts[len(parts) - 1 + parts.index(name)]
                logs = Scaled((vector,), total.exponent).norm().log10
                own.put((layer, direction), step, logs[None])
