"""What a step of a cell costs, counted and measured, and what no width can hide."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from dataclasses import dataclass

import numpy as np

from gradflow.core.cells import Cell, State
from gradflow.core.cells.arrays import owner
from gradflow.core.cost.counting import Counted, Tally, counting, depth_of
from gradflow.core.engine.scan import Keep, pull_back, unroll
from gradflow.core.network.stack import Network
from gradflow.core.random import stream
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array, DType

__all__ = ["Cost", "Pass", "cost", "critical_path", "seconds"]


@dataclass(frozen=True)
class Pass:
    """One step in one direction, for all its columns together.

    Parameters
    ----------
    products, elementwise : int
        Floating-point operations in matrix products and outside of them (see `Tally`).
    traffic : int
        Bytes that operations read and write, nothing being fused or kept in a cache.
    depth : int
        Operations that have to follow one another between one state and the next.
    """

    products: int
    elementwise: int
    traffic: int
    depth: int

    @property
    def flops(self) -> int:
        """All floating-point operations."""
        return self.products + self.elementwise


@dataclass(frozen=True)
class Cost:
    """A step of one layer and direction.

    Parameters
    ----------
    parameters : int
        Numbers in U, W, b, P, ….
    forward : Pass
        The drive U x + b and the step: products are 2 for each number in a matrix and column.
    backward : Pass
        Local derivatives and the cotangent of the state: all that norms need. The matrices that
        lead from state to state count again, U does not.
    inputs : Pass
        What ∂L/∂x costs on top: Uᵀ da.
    gradients : int
        FLOPs that ∂L/∂θ costs on top: a product and a sum for each parameter and column.
    tape : int
        Bytes that the forward pass leaves for the way back.
    """

    parameters: int
    forward: Pass
    backward: Pass
    inputs: Pass
    gradients: int
    tape: int


def cost(cell: Cell, inputs: int, columns: int = 1, dtype: DType | None = None) -> Cost:
    """Count a step of a cell: run its equations once, on arrays that count.

    Parameters
    ----------
    cell : Cell
        Any cell; the count comes from its own `step`, `linearise` and `step_vjp`.
    inputs : int
        Features of x.
    columns : int
        Sequences side by side.
    dtype : dtype
        Default float64.
    """
    kind = np.dtype(float) if dtype is None else dtype
    layout = cell.parameters(inputs)
    p = {name: Counted.of(np.zeros((1, *q.shape), kind)) for name, q in layout.items()}
    x = Counted.of(np.zeros((1, inputs, columns), kind))
    state = tuple(Counted.of(np.zeros((1, size, columns), kind)) for size in cell.sizes)
    with counting() as driving:
        u = Counted.of(cell.drive(p, x))
    with counting() as stepping:
        after, cache = cell.step(p, state, u)
    forward = _pass(driving, stepping, depth_of(*after))
    with counting() as linearising:
        left = cell.linearise(p, cache)
    held = {id(base): base.nbytes for a in left for base in [owner(a)]}
    known = {id(owner(a)) for a in p.values()}
    tape = sum(size for base, size in held.items() if base not in known)
    local = tuple(Counted.of(a) for a in left)
    dstate = tuple(Counted.of(np.zeros_like(np.asarray(part))) for part in after)
    with counting() as pulling:
        before, da, _ = cell.step_vjp(p, local, dstate)
    backward = _pass(linearising, pulling, depth_of(*before))
    with counting() as reading:
        dx = cell.drive_vjp(p, Counted.of(da))
    count = sum(math.prod(q.shape) for q in layout.values())
    return Cost(
        count, forward, backward, _pass(reading, Tally(), depth_of(dx)), 2 * count * columns, tape
    )


def critical_path(net: Network, length: int) -> tuple[int, int]:
    """Operations that follow one another in a sequence, forward and backward, at unlimited width.

    ::

        forward only     Σ depth + (T − 1) · max depth   layers run staggered: l starts at step l
        both directions  T · Σ depth                     a layer needs all of the one below

    This is what neither more units nor more processors shorten, and why long sequences are slow.
    """
    forward = backward = 0
    for both, run in itertools.groupby(enumerate(net.layers), lambda one: one[1].bidirectional):
        each = [cost(layer.cell, net.features(index)) for index, layer in run]
        forward += _staggered([one.forward.depth for one in each], length, both)
        backward += _staggered([one.backward.depth for one in each], length, both)
    return forward, backward


def _staggered(depths: list[int], length: int, whole: bool) -> int:
    return length * sum(depths) if whole else sum(depths) + (length - 1) * max(depths)


def seconds(
    cell: Cell,
    inputs: int,
    columns: int = 1,
    *,
    dtype: DType | None = None,
    steps: int = 64,
    repeats: int = 5,
) -> tuple[float, float]:
    """Time a step forward and backward: medians over repeats of a block of steps.

    Parameters
    ----------
    cell, inputs, columns, dtype
        As in `cost`.
    steps, repeats : int
        Length of the block, and how often it is run.
    """
    kind = np.dtype(float) if dtype is None else dtype
    rng = stream(0, "cost")

    def draw(*shape: int) -> Array:
        return np.asarray(rng.standard_normal(shape) / math.sqrt(cell.hidden), kind)

    p = {name: draw(1, *q.shape) for name, q in cell.parameters(inputs).items()}
    x = draw(steps, 1, inputs, columns)
    state: State = tuple(draw(1, size, columns) for size in cell.sizes)
    adjoint = Scaled.of(*state)
    there, back = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        tape, _ = unroll(cell, p, x, state, Keep.LOCAL)
        middle = time.perf_counter()
        for _ in pull_back(cell, p, tape, adjoint, None, Keep.NOTHING):
            pass
        there.append((middle - start) / steps)
        back.append((time.perf_counter() - middle) / steps)
    return statistics.median(there), statistics.median(back)


def _pass(first: Tally, then: Tally, depth: int) -> Pass:
    return Pass(
        first.products + then.products,
        first.elementwise + then.elementwise,
        first.traffic + then.traffic,
        depth,
    )
