"""Gradients of the parameters."""

from __future__ import annotations

import numpy as np

from gradflow.core.engine.observe import Block
from gradflow.core.engine.tape import Keep
from gradflow.core.network.stack import Network
from gradflow.core.record.rank_ones import factors, summands_of
from gradflow.core.record.sizes import Sized
from gradflow.core.scaled import Scaled

__all__ = ["Gradients"]


class Gradients:
    """Gradients of all parameters, Σ over steps and sequences, for each net.

    Contributions are added at one exponent for each net, so that neither an exploding nor a
    vanishing adjoint leaves the range. Runs with one length only.
    """

    needs = Keep.STATES | Keep.CACHES | Keep.COTANGENTS
    needs_inputs = False

    def __init__(self, net: Network) -> None:
        self.net = net
        self.sums: dict[tuple[int, int, str], Scaled] = {}

    def block(self, block: Block) -> None:
        """Add the block's steps."""
        gates: dict[str, list[Scaled]] = {}
        for (name, _), summands in summands_of(block).items():
            left, right = factors(summands, block.swept.exponent)
            gates.setdefault(name, []).append(_sum(left, right))
        for name, each in gates.items():
            top = np.max([gate.exponent for gate in each], axis=0)
            value = np.concatenate([gate.at(top).parts[0] for gate in each], axis=-2)
            self._add((block.layer, block.direction, name), Scaled((value,), top))

    def _add(self, key: tuple[int, int, str], term: Scaled) -> None:
        if key in self.sums:
            top = np.maximum(self.sums[key].exponent, term.exponent)
            total = self.sums[key].at(top).parts[0] + term.at(top).parts[0]
            term = Scaled((total,), top)
        self.sums[key] = term

    def inputs(self, first: int, dx: Scaled) -> None:
        """Parameters do not depend on ∂L/∂x."""


def _sum(left: Sized, right: Sized) -> Scaled:
    """Σ left rightᵀ over steps and sequences, ``(nets, rows, cols)``.

    The exponent is that of the largest summand: a sequence or a step whose own is larger, but whose
    summand is zero, has no say.
    """
    exponent = left.exponent + right.exponent
    top = exponent.max(axis=(0, -1))[:, None, None]
    with np.errstate(under="ignore"):
        level = np.ldexp(left.values, exponent[..., None, :] - top)
    # (steps, nets, features, columns) → (nets, features, steps · columns)
    lefts, rights = (
        np.moveaxis(a, 0, -2).reshape(*a.shape[1:3], -1) for a in (level, right.values)
    )
    return Scaled((lefts @ rights.swapaxes(-1, -2),), top)
