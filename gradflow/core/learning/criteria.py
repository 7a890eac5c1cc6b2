"""When a net has learnt: the criteria of the literature, on the sequences that it has just read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradflow.core.inputs import Criterion
from gradflow.core.learning.objective import Answer
from gradflow.core.typing import Array

__all__ = ["Record", "wrong"]


def wrong(criterion: Criterion, answer: Answer) -> Array:
    """Which sequences are answered wrongly, ``(nets, columns)``."""
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
