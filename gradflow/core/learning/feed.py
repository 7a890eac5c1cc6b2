"""Sequences to learn from: fresh ones at every update, or again and again those of a pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from gradflow.core.inputs import Batch
from gradflow.core.learning.objective import Question
from gradflow.core.random import stream
from gradflow.core.typing import Array

__all__ = ["Draw", "Feed", "question"]

Draw: TypeAlias = Callable[[int, np.random.Generator], Batch]
"""So many sequences from a generator."""

Sides: TypeAlias = tuple[Array, Array, Array | None]
"""Inputs, targets as values and what is allowed, all nets side by side."""

CHUNK = 64
"""Sequences that are drawn at a time, at least."""


@dataclass
class Feed:
    """What each net reads at each update, a function of its seed and the update alone.

    Parameters
    ----------
    draw : Draw
        The task.
    length : int
        The most steps of a sequence.
    seeds : sequence of int
        One for each net.
    batch : int
        Sequences of an update.
    pool : int or None
        So many sequences are drawn once for each net, and each update picks among them; None: every
        update has fresh ones.
    draw_test : Draw or None
        What a test set is drawn by; None: the task as well.
    """

    draw: Draw
    length: int
    seeds: Sequence[int]
    batch: int = 1
    pool: int | None = None
    draw_test: Draw | None = None

    def __post_init__(self) -> None:
        self._chunk = -1
        self._drawn: Sides = np.empty(0), np.empty(0), None
        self._pools: dict[int, Batch] = {}
        self._tests: dict[int, Batch] = {}
        self._each = -(-CHUNK // self.batch)

    def __call__(self, update: int) -> Question:
        """The sequences of an update, counted from 0."""
        chunk, index = divmod(update, self._each)
        if chunk != self._chunk:
            self._drawn = _beside([self._batch(seed, chunk) for seed in self.seeds])
            self._chunk = chunk
        x, targets, allowed = self._drawn
        own = slice(index * self.batch, (index + 1) * self.batch)
        return _asked(
            x[..., own], targets[..., own], None if allowed is None else allowed[..., own]
        )

    def keep(self, nets: Array) -> None:
        """Go on with some of the nets alone."""
        self.seeds, self._chunk = [self.seeds[j] for j in nets], -1

    def tests(self, count: int) -> Iterator[Question]:
        """A test set that all nets share and none learns from, and the pool, some at a time."""
        if count not in self._tests:
            draw = self.draw_test or self.draw
            self._tests[count] = draw(count, stream(0, "train", "test"))
        each = [[self._tests[count]] * len(self.seeds)]
        if self.pool is not None:
            each.append([self.pooled(seed) for seed in self.seeds])
        for batches in each:
            for first in range(0, batches[0].x.shape[-1], CHUNK):
                yield question([_columns(batch, first, CHUNK) for batch in batches])

    def pooled(self, seed: int) -> Batch:
        """The pool of a net."""
        if seed not in self._pools:
            count = self.pool or 0
            self._pools[seed] = self.draw(count, stream(seed, "train", "pool"))
        return self._pools[seed]

    def _batch(self, seed: int, chunk: int) -> Batch:
        rng, count = stream(seed, "train", "fresh", chunk), self._each * self.batch
        if self.pool is None:
            return self.draw(count, rng)
        return _columns(self.pooled(seed), rng.integers(self.pool, size=count))


def _columns(batch: Batch, first: int | Array, count: int = 0) -> Batch:
    """Some sequences of a batch."""
    which = slice(first, first + count) if isinstance(first, int) else first

    def chosen(a: Array | None) -> Array | None:
        return None if a is None else a[..., which]

    targets, allowed = chosen(batch.targets), chosen(batch.allowed)
    return replace(batch, x=batch.x[..., which], targets=targets, allowed=allowed)


def question(batches: Sequence[Batch]) -> Question:
    """Put one batch for each net side by side; steps after the last target of any are left out."""
    return _asked(*_beside(batches))


def _beside(batches: Sequence[Batch]) -> Sides:
    """Inputs, targets and what is allowed of one batch for each net."""
    x = np.concatenate([batch.x for batch in batches], axis=1)
    targets = np.concatenate([_values(batch) for batch in batches], axis=1)
    each = [batch.allowed for batch in batches if batch.allowed is not None]
    return x, targets, np.concatenate(each, axis=1) if each else None


def _asked(x: Array, targets: Array, allowed: Array | None) -> Question:
    steps = np.flatnonzero(~np.isnan(targets).all(axis=(1, 2, 3)))
    x = np.ascontiguousarray(x[: int(steps[-1]) + 1])
    return Question(x, steps, targets[steps], None if allowed is None else allowed[steps])


def _values(batch: Batch) -> Array:
    """Targets as values, classes one-hot; NaN where there is none."""
    if batch.targets is None:
        raise ValueError("inputs without targets cannot be learnt")
    if batch.target_kind == "values":
        return batch.targets
    classes = np.arange(batch.classes)[:, None]
    hot: Array = (batch.targets[:, :, None, :] == classes).astype(float)
    hot[np.broadcast_to(batch.targets[:, :, None, :] < 0, hot.shape)] = np.nan
    return hot
