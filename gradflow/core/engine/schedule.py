"""Memory planned before it is taken: how time is cut into blocks, and what is kept of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradflow.core.cells import Cell
from gradflow.core.cells.arrays import owner
from gradflow.core.engine.scan import DRIVEN
from gradflow.core.engine.squares import SMALL
from gradflow.core.engine.tape import Keep
from gradflow.core.network.stack import Network
from gradflow.core.typing import DType, Params

__all__ = ["OBJECT", "Footprint", "Schedule", "Work"]

_BLOCK = 64
"""Steps of a block where memory is no concern: what is done once for each no longer counts."""

_ADJOINTS = 16 << 20
"""Bytes of a block's adjoints beyond which blocks are half as long: 4 % of a pass of 10 lengths."""

_OBJECTS = 1500
"""Bytes of Python objects that a span leaves behind in each layer and direction."""

OBJECT = 180
"""Bytes of an array that stands alone, its numbers left aside, and of its place in a list."""


@dataclass(frozen=True)
class Schedule:
    """How time is cut, and whether tapes are kept.

    Parameters
    ----------
    block : int
        Most steps in a block.
    keep : bool
        Whether tapes are kept; else each span is run again on the way back. The numbers are the
        same bit for bit.
    """

    block: int
    keep: bool = True

    def cuts(self, length: int, at: Sequence[int] = ()) -> list[tuple[int, int]]:
        """Cut 0..length into blocks, with a border at each of `at`."""
        borders = sorted({*range(0, length, self.block), *at, length})
        return list(itertools.pairwise(borders))


@dataclass(frozen=True)
class Footprint:
    """Bytes that a measurement takes beyond the running program.

    Parameters
    ----------
    fixed : int
        Weights, inputs and records.
    tapes : int
        What the forward pass leaves for the way back, or the checkpoints in its place.
    block : int
        The block that is being worked on.
    """

    fixed: int
    tapes: int
    block: int

    @property
    def peak(self) -> int:
        """Their sum."""
        return self.fixed + self.tapes + self.block


@dataclass(frozen=True)
class Work:
    """What is to be measured, as far as its size goes.

    Parameters
    ----------
    net : Network
        The network.
    nets, columns : int
        Independent nets and sequences.
    lengths : tuple of int
        All that run together.
    records : int
        Numbers recorded for each net, sequence, layer and direction.
    dtype : dtype
        Of states and adjoints.
    keep : Keep
        What is left of every step for the way back.
    """

    net: Network
    nets: int
    columns: int
    lengths: tuple[int, ...]
    records: int
    dtype: DType
    keep: Keep = Keep.LOCAL

    def schedule(self, budget: int | None = None) -> Schedule:
        """Choose blocks: tapes kept if they fit into the budget, else checkpoints.

        Without any that fits the one with the smallest footprint is returned; the caller, who
        knows what the bytes are for, refuses.
        """
        widest = max(2 * sum(one.cell.sizes) - one.cell.sizes[0] for one in self.net.layers)
        adjoints = len(self.lengths) * self._bytes(widest)
        kept = Schedule(_BLOCK if _BLOCK * adjoints <= _ADJOINTS else _BLOCK // 2)
        if budget is None or self.net.bidirectional or self.footprint(kept).peak <= budget:
            return kept
        steps = max(self.lengths)
        longest = max(_BLOCK, math.isqrt(steps))
        choices = [Schedule(b, keep=False) for b in (_BLOCK, longest, _BLOCK // 4, 1)]
        fitting = (s for s in choices if self.footprint(s).peak <= budget)
        return next(fitting, min(choices, key=lambda s: self.footprint(s).peak))

    def footprint(self, schedule: Schedule) -> Footprint:
        """Predict the bytes that a measurement takes under a schedule."""
        net, steps, size = self.net, max(self.lengths), self.dtype.itemsize
        block = min(schedule.block, steps)
        cells = [net.layers[layer].cell for layer, _ in net.places()]
        places = len(cells)
        drawn = 8 if size == 8 else size + 8  # inputs are drawn in float64, then cast
        fixed = self.nets * net.size * size + steps * net.inputs * self.columns * drawn
        fixed += 2 * 8 * self.records * places * self.nets * self.columns
        step = self._bytes(sum(_left(cell, self.keep) for cell in cells))
        above = [layer.outputs for layer in net.layers[:-1]]
        step += self._bytes(sum(above))
        small = [c for c in cells if c.hidden * self.nets * self.columns < SMALL]
        if Keep.STATES in self.keep:
            step += OBJECT * sum(len(cell.parts) for cell in cells)
            if Keep.CACHES in self.keep:  # those of a block are copied into one array
                step += self._bytes(sum(cell.sizes[0] for cell in small))
        state = self._bytes(sum(sum(cell.sizes) for cell in cells))
        stay = Keep.COTANGENTS in self.keep or len(net.layers) > 1
        back = max(3 * sum(cell.sizes) + 2 * stay * _drive(cell) for cell in cells)
        width = steps if net.bidirectional else block
        between = sum(above) + net.bidirectional * net.outputs
        column = block * self._bytes(back) + 2 * width * self._bytes(between)
        column += 2 * width * OBJECT * net.bidirectional  # what each direction sends down
        drive = self._bytes(max(map(_drive, cells)))
        driven = 2 * min(max(drive, DRIVEN), block * drive)
        driven += 4 * block * OBJECT * max(len(cell.parts) for cell in cells)
        # The caches of a block of small arrays, linearised at once.
        caches = max((_left(cell, Keep.CACHES) for cell in small), default=0)
        waiting = 2 * block * self._bytes(caches)
        # Tapes shrink while lengths join: the peak is at the end of one of the lengths.
        peaks = []
        for joined, length in enumerate(sorted(self.lengths, reverse=True), start=1):
            spans = math.ceil(length / schedule.block)
            held = length * step if schedule.keep else spans * state + block * step
            held += spans * places * _OBJECTS
            working = max(joined * column, waiting + self._joint(block)) + driven
            peaks.append(Footprint(fixed, held, working))
        return max(peaks, key=lambda footprint: footprint.peak)

    def _joint(self, block: int) -> int:
        """Bytes of [W U b] and a block's [x; 1] in the largest layer, where a step takes them."""
        if self.columns == 1:
            return 0
        each = [0]
        for index, layer in enumerate(self.net.layers):
            cell, inputs = layer.cell, self.net.features(index) + 1
            if _joins(cell):
                nets = self.nets if index else 1  # the first layer's inputs are shared
                matrix = self.nets * _drive(cell) * (cell.sizes[0] + inputs)
                each.append(matrix + block * nets * inputs * self.columns)
        return max(each) * self.dtype.itemsize

    def _bytes(self, features: int) -> int:
        return features * self.nets * self.columns * self.dtype.itemsize


def _drive(cell: Cell) -> int:
    """Features of the drive."""
    return len(cell.gates) * cell.hidden


def _left(cell: Cell, keep: Keep) -> int:
    """Count the numbers that are left of one step of a sequence."""
    small, p = _small(cell)
    zeros = tuple(np.zeros((1, size, 1)) for size in small.sizes)
    after, cache = small.step(p, zeros, np.zeros((1, 4 * len(small.gates), 1)))
    arrays = small.linearise(p, cache) if Keep.LOCAL in keep else ()
    arrays += cache if Keep.CACHES in keep else ()
    held = {id(base): base.size for a in arrays for base in [owner(a)]}
    for before, part in zip(zeros, after, strict=True):
        if held.pop(id(before), 0) or Keep.STATES in keep:  # the next step holds it, or the tape
            held[id(owner(part))] = part.size
    return cell.hidden * math.ceil(sum(held.values()) / 4)


def _joins(cell: Cell) -> bool:
    """Whether the cell's steps make the drive together with W h."""
    small, p = _small(cell)
    return small.side_by_side(p) is not None


def _small(cell: Cell) -> tuple[Cell, Params]:
    """The cell with four units and one input, and parameters of zeros."""
    small = replace(cell, hidden=4)
    return small, {name: np.zeros((1, *q.shape)) for name, q in small.parameters(1).items()}
