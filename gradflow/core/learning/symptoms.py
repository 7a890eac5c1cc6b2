"""Whether a net has learnt, by the criteria of the literature, and what holds it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradflow.core.inputs import Criterion
from gradflow.core.learning.objective import Answer
from gradflow.core.typing import Array

__all__ = ["Oscillation", "Record", "stall", "wrong"]


def wrong(criterion: Criterion | None, answer: Answer) -> Array:
    """Which sequences are answered wrongly, ``(nets, columns)``; NaN where nothing says so."""
    if criterion is None:
        return np.full(answer.loss.shape, np.nan)
    if criterion.within is None:
        return answer.missed
    found: Array = ~(answer.worst < criterion.within)
    return found


@dataclass
class Record:
    """The most recent sequences of each net, right or wrong, and their errors.

    Parameters
    ----------
    wrong : array of bool
        ``(nets, window)``, a ring.
    errors : array
        Likewise.
    seen : int
        Sequences read so far.
    """

    wrong: Array
    errors: Array
    seen: int = 0

    @classmethod
    def of(cls, criterion: Criterion, nets: int) -> Record:
        """An empty one."""
        shape = (nets, criterion.window)
        return cls(np.ones(shape, bool), np.full(shape, np.inf))

    def add(self, wrong: Array, errors: Array) -> None:
        """Take in the sequences of an update, ``(nets, columns)``."""
        window, count = self.wrong.shape[1], wrong.shape[1]
        at = np.arange(self.seen, self.seen + count) % window
        self.wrong[:, at], self.errors[:, at] = wrong, errors
        self.seen += count

    def restart(self, wrong: Array, errors: Array) -> None:
        """Take the answers to a whole test set for the most recent sequences."""
        self.wrong, self.errors = wrong, errors

    def keep(self, nets: Array) -> None:
        """Go on with some of the nets alone."""
        self.wrong, self.errors = self.wrong[nets], self.errors[nets]

    def reached(self, criterion: Criterion) -> Array:
        """Which nets meet the criterion."""
        met: Array = self.wrong.sum(axis=1) <= criterion.misses
        if criterion.mean is not None and met.any():
            met &= self.errors.mean(axis=1) < criterion.mean
        return met


@dataclass
class Oscillation:
    """How far successive updates of the parameters of one kind undo each other.

    Parameters
    ----------
    spans : mapping of str to sequence of slice
        Where each kind of parameters stands in a row.
    nets : int
        Number of nets.
    """

    spans: Mapping[str, Sequence[slice]]
    nets: int

    def __post_init__(self) -> None:
        self.before: Array | None = None
        self._squares = np.zeros((self.nets, len(self.spans)))
        order = [(span, kind) for kind, each in self.spans.items() for span in each]
        order.sort(key=lambda one: one[0].start)
        kinds = list(self.spans)
        self._starts = np.array([span.start for span, _ in order])
        self._owner = np.array([kinds.index(kind) for _, kind in order])
        self.clear()

    def clear(self) -> None:
        """Begin a new window; the last update of the old one is still known."""
        shape = (self.nets, len(self.spans))
        self.turns, self.cosines = np.zeros(shape), np.zeros(shape)
        self.count = 0

    def add(self, delta: Array) -> None:
        """Take in an update ``(nets, parameters)``."""
        squares = self._by_kind(delta * delta)
        if self.before is not None:
            products = delta * self.before
            size = np.sqrt(squares * self._squares)
            with np.errstate(invalid="ignore", divide="ignore"):
                cosine = self._by_kind(products) / size
            self.cosines += np.where(size > 0, cosine, 0.0)
            self.turns += self._by_kind((products < 0).astype(float))
            self.count += 1
        self.before, self._squares = delta, squares

    def keep(self, which: Array) -> None:
        """Go on with some of the nets alone."""
        self.nets, self.turns, self.cosines = len(which), self.turns[which], self.cosines[which]
        if self.before is not None:
            self.before, self._squares = self.before[which], self._squares[which]

    def seen(self, before: Array) -> None:
        """Go on after an update that was taken in elsewhere."""
        self.before, self._squares = before, self._by_kind(before * before)

    def shares(self) -> tuple[Array, Array]:
        """Share of components whose sign changed, and mean cosine: ``(nets, kinds)``, NaN if none.

        Both are means over the window. A random walk has ½ and 0; a descent along one slope has 0
        and 1; a weight that is thrown to and fro has 1 and −1.
        """
        if not self.count:
            return (np.full(self.turns.shape, np.nan),) * 2
        sizes = np.array([sum(s.stop - s.start for s in each) for each in self.spans.values()])
        return self.turns / (self.count * sizes), self.cosines / self.count

    def _by_kind(self, a: Array) -> Array:
        each = np.add.reduceat(a, self._starts, axis=1)
        out = np.zeros((len(a), len(self.spans)))
        for k, owner in enumerate(self._owner):
            out[:, owner] += each[:, k]
        return out


def stall(losses: Array, trivial: float) -> Array:
    """How much of what there was to gain was gained: (trivial − loss) / trivial, at most 1.

    Parameters
    ----------
    losses : array
        Mean losses of windows.
    trivial : float
        The loss of the task's trivial answer.

    Returns
    -------
    array
        0 where a net does no better than the trivial answer, 1 where it has learnt all; below 0
        where it is worse.
    """
    gained: Array = 1 - losses / trivial
    return gained
