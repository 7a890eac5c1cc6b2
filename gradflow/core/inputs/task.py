"""What an input task is: everything that the house asks of it, in one class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from gradflow.core.inputs.batch import Batch, Seed, TargetKind

__all__ = ["Criterion", "Task"]


@dataclass(frozen=True)
class Criterion:
    """When a net has learnt: what counts as a sequence answered rightly, and how many must be.

    Parameters
    ----------
    within : float or None
        Every output at every step that has a target differs from it by less. None: the largest
        output is the right one (of all that are right, where several are).
    window : int
        The most recent sequences that are looked at: those read while learning, or where `test` is
        given those of the test set.
    misses : int
        How many of them may be wrong.
    mean : float or None
        Their mean error |target − o| must be below, too.
    test : int or None
        Size of a test set, which a net answers every `every` updates; with a pool, that is answered
        as well. None: no test set.
    every : int
        Updates between two tests.
    """

    within: float | None = None
    window: int = 2000
    misses: int = 0
    mean: float | None = None
    test: int | None = None
    every: int = 100


@dataclass(frozen=True)
class Task(ABC):
    """A source of sequences; its fields are the options under ``inputs``.

    Register a subclass in `TASKS`, or in a package of one's own under the entry points
    ``gradflow.tasks``: experiment files, their schema and their messages find it.
    """

    kind: ClassVar[str]
    """Its name in an experiment file."""

    target_kind: ClassVar[TargetKind] = "none"
    """The targets it gives."""

    targets_at: ClassVar[Literal["all", "last"]] = "all"
    """The steps that have a target."""

    prefix: ClassVar[bool] = False
    """Whether it is a stream: its first k steps are what a draw of length k gives."""

    seeded: ClassVar[bool] = True
    """Whether another seed gives other data."""

    most: ClassVar[int] = 1_000_000
    """Sequences at most."""

    @property
    @abstractmethod
    def features(self) -> int:
        """Count the features of each step."""

    @property
    def criterion(self) -> Criterion | None:
        """When a net has learnt it, as published; None where nothing is."""
        return None

    @property
    def longest(self) -> int | None:
        """All the steps there are; None if they have no end."""
        return None

    @property
    def shortest(self) -> int:
        """The fewest steps that make sense."""
        return 1

    @abstractmethod
    def draw(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Draw inputs and targets; every sequence from a stream of its own.

        Raises
        ------
        ValueError
            If there are fewer steps than `shortest`, or options make no sense.
        """

    def baseline(self, steps: int) -> float | None:
        """The expected loss of a net that remembers nothing, averaged over the steps with a target.

        Mean squared error for values, cross-entropy in nats for classes; None where it is not
        known.
        """
        return None
