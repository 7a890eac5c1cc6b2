"""What a step of a cell costs, counted and measured, and what no width can hide."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradflow.core.cells import Cell, State
from gradflow.core.cells.arrays import owner
from gradflow.core.engine.scan import Keep, pull_back, unroll
from gradflow.core.network.stack import Network
from gradflow.core.random import stream
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array, DType

__all__ = [
    "Cost", "Counted", "Pass", "Tally", "counting", "critical_path", "depth_of", "step_cost",
    "step_seconds",
]  # fmt: skip


@dataclass
class Tally:
    """Operations and memory traffic.

    Parameters
    ----------
    products : int
        Multiplications and additions in matrix products, 2·n·k·m each.
    elementwise : int
        Other operations, one for each element of each result; tanh and exp count one.
    traffic : int
        Bytes read and written, every operand and result of every operation once.
    """

    products: int = 0
    elementwise: int = 0
    traffic: int = 0


_TALLY: ContextVar[Tally] = ContextVar("tally")


@contextmanager
def counting() -> Iterator[Tally]:
    """Count all operations with `Counted` arrays inside."""
    token = _TALLY.set(Tally())
    try:
        yield _TALLY.get()
    finally:
        _TALLY.reset(token)


class Counted(np.ndarray[Any, Any]):
    """An array that knows how many operations, one after the other, stand between it and a start.

    Views share the depth of their memory: it is a list of one number. A sum over k terms takes
    ⌈log2 k⌉ additions however many may run side by side.
    """

    depth: list[int]

    @classmethod
    def of(cls, a: Array, depth: int = 0) -> Counted:
        """Count what is done to an array from here on."""
        counted = np.array(a).view(cls)
        counted.depth = [depth]
        return counted

    def __array_finalize__(self, parent: Any) -> None:
        shared = isinstance(parent, Counted) and self.base is not None
        self.depth = parent.depth if shared and hasattr(parent, "depth") else [0]

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        kwargs = {name: _plain(value) for name, value in kwargs.items()}
        if out is not None:
            kwargs["out"] = tuple(_plain(a) for a in out)
        result = getattr(ufunc, method)(*map(_plain, inputs), **kwargs)
        tally, depth = _TALLY.get(), depth_of(*inputs)
        arrays = [a for a in inputs if isinstance(a, np.ndarray)]
        tally.traffic += sum(a.nbytes for a in arrays) + result.nbytes
        if ufunc is np.matmul:
            terms = inputs[0].shape[-1]
            tally.products += 2 * terms * result.size
            depth += 1 + math.ceil(math.log2(terms))
        else:
            tally.elementwise += result.size
            depth += 1
        if out is not None:
            out[0].depth[0] = max(out[0].depth[0], depth)
            return out[0]
        return Counted.of(result, depth)


def depth_of(*values: Any) -> int:
    """The largest depth among values; what is not counted was there from the start."""
    return max((a.depth[0] for a in values if isinstance(a, Counted)), default=0)


def _plain(a: Any) -> Any:
    return a.view(np.ndarray) if isinstance(a, Counted) else a


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


def step_cost(cell: Cell, inputs: int, columns: int = 1, dtype: DType | None = None) -> Cost:
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
        each = [step_cost(layer.cell, net.features(index)) for index, layer in run]
        forward += _staggered([one.forward.depth for one in each], length, both)
        backward += _staggered([one.backward.depth for one in each], length, both)
    return forward, backward


def _staggered(depths: list[int], length: int, whole: bool) -> int:
    return length * sum(depths) if whole else sum(depths) + (length - 1) * max(depths)


def step_seconds(
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
