"""Gradients of the parameters, and the summands that each step adds to them."""

from __future__ import annotations

import numpy as np

from gradflow.core.cells import Summand
from gradflow.core.engine.observe import Block
from gradflow.core.engine.tape import Keep
from gradflow.core.network.stack import Network
from gradflow.core.scaled import Scaled, concatenated
from gradflow.core.typing import Array

__all__ = ["Gradients", "factors", "summands_of"]


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
            key, new = (block.layer, block.direction, name), concatenated(each)
            self.sums[key] = self.sums[key] + new if key in self.sums else new

    def inputs(self, first: int, dx: Scaled) -> None:
        """Parameters do not depend on ∂L/∂x."""


def summands_of(block: Block) -> dict[tuple[str, int], list[Summand]]:
    """The block's summands, one for each step, by parameter and index of the gate's row block."""
    swept, tape = block.swept, block.tape
    each: dict[tuple[str, int], list[Summand]] = {}
    for k, da in enumerate(swept.da):
        t = swept.start + k
        before, after = tape.states[t : t + 2]
        found = block.cell.summands(block.p, tape.caches[t], da, before, after, tape.x[t])
        for name, gates in found.items():
            for index, summand in enumerate(gates):
                each.setdefault((name, index), []).append(summand)
    return each


def factors(summands: list[Summand], exponent: Array) -> tuple[Scaled, Scaled]:
    """Left and right factors of consecutive steps, all written as outer products.

    Parameters
    ----------
    summands : list of Summand
        One gate's of one parameter, one for each step.
    exponent : array of int
        That of the steps' cotangents, ``([lengths,] nets, 1, columns)``.

    Returns
    -------
    left, right : Scaled
        ``(steps, [lengths,] nets, features, columns)``, each column about 1.
    """
    lefts, rights = [], []
    for _, form, left, right in summands:
        if form == "outer" and right is not None:
            lefts.append(left)
            rights.append(right)
        else:
            lefts.append(left if right is None else left * right)
            rights.append(np.ones_like(left[..., :1, :]))
    left, right = np.stack(lefts), np.stack(rights)
    if right.ndim < left.ndim:
        right = right[:, None]
    steps = np.broadcast_to(exponent, (*left.shape[:-2], 1, left.shape[-1]))
    return Scaled((left,), steps).unit(), Scaled.of(right).unit()


def _sum(left: Scaled, right: Scaled) -> Scaled:
    """Σ left rightᵀ over steps and sequences, ``(nets, rows, cols)``.

    The exponent is that of the largest summand: a sequence or a step whose own is larger, but whose
    summand is zero, has no say.
    """
    level = Scaled(left.parts, left.exponent + right.exponent).level((0, -1))
    # (steps, nets, features, columns) → (nets, features, steps · columns)
    lefts, rights = (
        np.moveaxis(a, 0, -2).reshape(*a.shape[1:3], -1) for a in (level.values, right.values)
    )
    return Scaled((lefts @ rights.swapaxes(-1, -2),), level.exponent[0])
