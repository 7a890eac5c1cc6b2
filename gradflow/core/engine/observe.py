"""What goes by on the way back, and who may look at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from gradflow.core.cells import Cell
from gradflow.core.engine.forward import filled
from gradflow.core.engine.scan import Keep, Swept, Tape
from gradflow.core.network.losses import Loss
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array, Params

__all__ = ["Block", "Listener", "Observer", "Reading", "whole"]


@dataclass(frozen=True)
class Block:
    """What an observer sees: consecutive steps of one layer and direction, swept back.

    Parameters
    ----------
    layer, direction : int
        Where.
    cell, p
        The cell and its parameters there.
    first : int
        The direction's own time of the state before the block's first step, 0..T − 1.
    tape : Tape
        The forward pass's records; ``swept.start`` is the offset of the block's steps in it.
    swept : Swept
        The cotangents. With several lengths, arrays have an axis of lengths in front, longest
        first, as many as have joined.
    """

    layer: int
    direction: int
    cell: Cell
    p: Params
    first: int
    tape: Tape
    swept: Swept


def whole(block: Block, width: int) -> Block:
    """The same block with zeros for the sequences that have ended, of `width` in all."""
    columns = block.tape.columns
    if columns is None:
        return block

    def fill(a: Array) -> Array:
        return filled(a, columns, width)

    def each(rows: Sequence[tuple[Array, ...]]) -> list[tuple[Array, ...]]:
        return [tuple(map(fill, row)) for row in rows]

    swept, tape = block.swept, block.tape
    inject = swept.inject
    return replace(
        block,
        tape=Tape(
            fill(tape.x),
            each(tape.states),
            local=each(tape.local),
            caches=each(tape.caches),
        ),
        swept=replace(
            swept,
            dstates=each(swept.dstates),
            totals=each(swept.totals),
            da=list(map(fill, swept.da)),
            squares=tuple(map(fill, swept.squares)),
            total_squares=tuple(map(fill, swept.total_squares)),
            exponent=fill(swept.exponent),
            before=tuple(map(fill, swept.before)),
            inject=inject and Scaled((fill(inject.values),), fill(inject.exponent)),
        ),
    )


@dataclass(frozen=True)
class Reading:
    """What the loss looks at in one span of time.

    Parameters
    ----------
    loss : Loss
        The loss.
    steps : array of int
        The steps, (n,); for a loss on the ends that of the end, (1,), or of each sequence's,
        (1, columns).
    y : array
        What it looks at, ``(n, nets, outputs, columns)``: outputs, or the ends of a state.
    counts : array of bool
        Whether a step counts, ``(n, [lengths,] 1, 1, columns or 1)``, for those that have joined.
    """

    loss: Loss
    steps: Array
    y: Array
    counts: Array

    @cached_property
    def slope(self) -> Array:
        """∂ℓ/∂o of each step, ``(n, nets, m, columns)``, whatever counts."""
        return self.loss.slope(self.loss.read(self.y), self.loss.target(self.steps))

    @property
    def cotangent(self) -> Array:
        """∂ℓ/∂y of each step, ``(n, nets, outputs, columns)``, whatever counts."""
        readout = self.loss.readout
        return self.slope if readout is None else readout.vjp(self.slope)

    @property
    def values(self) -> Array:
        """Σ ℓ over these steps, ``([lengths,] nets, columns)``."""
        each = self.loss.value(self.loss.read(self.y), self.loss.target(self.steps))
        total: Array = np.where(self.counts[..., 0, :], self.abreast(each), 0).sum(axis=0)
        return total

    def abreast(self, a: Array) -> Array:
        """The same array for all lengths, where several run together."""
        return a[:, None] if self.counts.ndim == 5 else a


@runtime_checkable
class Listener(Protocol):
    """Looks at what the loss looks at."""

    def reading(self, reading: Reading) -> None:
        """See the loss's steps in a span, latest span first."""


class Observer(Protocol):
    """Looks at cotangents as they go by."""

    needs: Keep
    """What the tapes must hold beside the local derivatives."""

    needs_inputs: bool
    """Whether ∂L/∂x is to be computed for the network's inputs."""

    def block(self, block: Block) -> None:
        """See a block of a layer."""

    def inputs(self, first: int, dx: Scaled) -> None:
        """See ∂L/∂x_k for the steps first + 1, … in original time."""
