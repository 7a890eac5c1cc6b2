"""An orthonormal frame of adjoints that goes back through a network."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from gradflow.core.analyses.graded import graded, logarithm, ordered, times, without_dust
from gradflow.core.cells import State
from gradflow.core.engine.forward import Tapes, forward
from gradflow.core.engine.scan import Keep, pull_joint
from gradflow.core.network.stack import Network, States, Weights
from gradflow.core.random import stream
from gradflow.core.scaled import NOTHING, Scaled
from gradflow.core.typing import Array
from gradflow.errors import NumericalError

__all__ = ["Frame", "travel", "width"]

_SLACK = 10.0
"""Powers of two by which a direction may lag behind a later one before the two change places."""


class Frame:
    """Q_t, how far each of its directions has grown since T, and the product of the R_t.

    Directions stand in the order of their growth, so that in ``R_t P`` the large rows of the
    product take in the small ones and are never taken in by them: that keeps its rows independent
    to working precision however far apart they are.

    A direction that one step shrinks below rounding (D ε) against what it was made of is *gone*:
    it cannot be told from zero, here or in any later product.

    Parameters
    ----------
    net : Network
        A unidirectional network, whose layers' states make up the D rows of the frame.
    nets, columns : int
        Independent nets and sequences, each with a frame of its own.
    vectors : int or None
        Columns of the frame, random ones; None means all D, along the axes, and only then is there
        a product.
    """

    def __init__(self, net: Network, nets: int, columns: int, vectors: int | None = None) -> None:
        if net.bidirectional:
            raise ValueError(
                f"{net.label}, bidirectional: two directions do not share a time in which "
                "∂s_T/∂s_k would be one product; use bidirectional: false"
            )
        self.net = net
        D = net.joint
        if vectors is not None and not 1 <= vectors <= D:
            raise ValueError(f"vectors must lie in 1..{D}, the size of the state, not {vectors}")
        start = np.eye(D)
        if vectors is not None:
            start = np.linalg.qr(stream(0, "frame").standard_normal((D, vectors)))[0]
        self.q = np.broadcast_to(start, (nets, columns, *start.shape))
        self.growth = np.zeros((nets, columns, start.shape[1]))
        self._product = graded(self.q) if vectors is None else None

    @property
    def product(self) -> Scaled:
        """R_{k+1} ⋯ R_T of the full frame, ``(nets, columns, D, D)``, an exponent for each row."""
        if self._product is None:
            raise ValueError("a part of a frame has no product: its rest is missing")
        return self._product

    def adjoints(self) -> list[State]:
        """The frame as adjoints of each layer's state, vectors leading; laid out as `pull` asks."""
        cells = [layer.cell for layer in self.net.layers]
        cuts = np.cumsum([size for cell in cells for size in cell.sizes])[:-1]
        each = (
            np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(2, 0, 1, 3)
            for a in np.split(self.q, cuts, axis=2)
        )
        return [tuple(itertools.islice(each, len(cell.parts))) for cell in cells]

    def advance(self, adjoints: list[State], step: int) -> None:
        """Take in J_tᵀ Q_t = Q_{t−1} R_t, where t − 1 is `step`.

        Raises
        ------
        NumericalError
            If it is not finite.
        """
        parts = [part for state in adjoints for part in state]
        a = np.concatenate([part.transpose(1, 3, 2, 0) for part in parts], axis=2)
        if not np.isfinite(a).all():
            raise NumericalError(
                f"the derivative of step {step + 1} of {self.net.label} is not finite"
            )
        order, q, r, self.growth = _ordered_qr(a, self.growth)
        self.q = without_dust(q)
        if self._product is not None:
            self._product = times(r, ordered(self._product, order))


def width(weights: Weights, x: Array) -> tuple[int, int]:
    """How many nets and sequences there are."""
    return next(iter(weights[0][0].values())).shape[0], x.shape[-1]


def travel(
    net: Network,
    weights: Weights,
    x: Array,
    frame: Frame,
    seen: Callable[[int], None],
    initial: States | None = None,
) -> None:
    """Take the frame from step T back to 0; `seen` is called at each step, T included.

    The forward pass keeps the states between blocks of about √T steps, which run again here.
    """
    T = len(x)
    block = math.isqrt(T - 1) + 1
    spans = [(lo, min(lo + block, T)) for lo in range(0, T, block)]
    states = net.initial(*width(weights, x), x.dtype, initial)
    before: list[States] = []

    def run(span: tuple[int, int], states: States, keep: Keep) -> tuple[Tapes, States]:
        lo, hi = span
        return forward(net, weights, x[lo:hi], states, [(0, hi - lo)], first=lo, keep=keep)

    for span in spans:
        before.append(states)
        _, states = run(span, states, Keep.NOTHING)
    step = T
    seen(step)

    def visit(adjoints: list[State]) -> list[State]:
        nonlocal step
        step -= 1
        frame.advance(adjoints, step)
        seen(step)
        return frame.adjoints()

    for span in reversed(spans):
        tapes, _ = run(span, before.pop(), Keep.LOCAL)
        layers = [
            (layer.cell, p, tape)
            for layer, (p,), ((tape,),) in zip(net.layers, weights, tapes, strict=True)
        ]
        pull_joint(layers, frame.adjoints(), visit)


def _ordered_qr(a: Array, growth: Array) -> tuple[Array, Array, Array, Array]:
    """QR of the columns of A in descending order of growth, that of this step included.

    Returns
    -------
    order : array
        Which column of A stands where.
    q, r : array
        Of A's columns in that order; rows of R of directions that are gone are zero.
    growth : array
        log2 of the product of diagonals up to here; `NOTHING` for those gone.
    """
    floor = a.shape[-2] * np.finfo(a.dtype).eps * np.linalg.norm(a, axis=-2)
    order = np.argsort(-(growth + logarithm(np.linalg.norm(a, axis=-2))), axis=-1, kind="stable")
    count = a.shape[-1]
    upper = np.triu(np.ones((count, count), bool))
    while True:
        q, r = np.linalg.qr(np.take_along_axis(a, order[..., None, :], axis=-1))
        # What is left of column j once the first i directions are taken out of it.
        left = np.sqrt(np.cumsum((r * r)[..., ::-1, :], axis=-2)[..., ::-1, :])
        left = np.where(left > np.take_along_axis(floor, order, -1)[..., None, :], left, 0)
        sizes = logarithm(left) + np.take_along_axis(growth, order, axis=-1)[..., None, :]
        sizes = np.where(upper, np.maximum(sizes, NOTHING), 2 * NOTHING)
        own = np.diagonal(sizes, axis1=-2, axis2=-1).copy()  # a view would hold all of them
        behind = sizes.max(axis=-1) > own + _SLACK
        if not behind.any():
            return order, q, r * (own > NOTHING)[..., None], own
        order = order.copy()
        for where in np.argwhere(behind.any(axis=-1)):
            place = tuple(where)
            i = int(behind[place].argmax())
            j = int(sizes[place][i].argmax())
            order[place][i : j + 1] = np.roll(order[place][i : j + 1], 1)
