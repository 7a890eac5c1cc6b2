"""Gradients of the parameters."""

from __future__ import annotations

import numpy as np

from gradflow.core.network import Network
from gradflow.core.observe import Block
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array

__all__ = ["Gradients"]


class Gradients:
    """Gradients of all parameters, Σ over steps and sequences, for each net.

    Contributions are added at one exponent for each net, so that neither an exploding nor a
    vanishing adjoint leaves the range. Runs with one length only.
    """

    needs_states = True
    needs_inputs = False

    def __init__(self, net: Network) -> None:
        self.net = net
        self.sums: dict[tuple[int, int, str], Scaled] = {}

    def block(self, block: Block) -> None:
        """Add the block's steps."""
        swept, tape = block.swept, block.tape
        count = len(swept.da)
        steps = slice(swept.start, swept.start + count)
        before, after = tape.states[steps], tape.states[steps.start + 1 : steps.stop + 1]
        top = swept.exponent.max(axis=(-2, -1), keepdims=True)
        for k in range(count):
            da = np.ldexp(swept.da[k], swept.exponent - top)
            summands = block.cell.summands(
                block.p, tape.caches[steps][k], da, before[k], after[k], tape.x[steps][k]
            )
            for name, each in summands.items():
                value = np.concatenate([_product(*s[1:]) for s in each], axis=-2)
                self._add((block.layer, block.direction, name), Scaled((value,), top))

    def _add(self, key: tuple[int, int, str], term: Scaled) -> None:
        if key not in self.sums:
            self.sums[key] = term.normalised()
            return
        top = np.maximum(self.sums[key].exponent, term.exponent)
        total = self.sums[key].at(top).parts[0] + term.at(top).parts[0]
        self.sums[key] = Scaled((total,), top)

    def inputs(self, first: int, dx: Scaled) -> None:
        """Parameters do not depend on ∂L/∂x."""


def _product(form: str, left: Array, right: Array | None) -> Array:
    """left ⊗ right, summed over columns: ``(nets, rows, cols)``."""
    if right is not None and form == "outer":
        outer: Array = left @ right.swapaxes(-1, -2)
        return outer
    each = left if right is None else left * right
    total: Array = np.sum(each, axis=-1, keepdims=True)
    return total
