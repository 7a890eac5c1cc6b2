"""What an input task is, what every source of inputs returns, and what the generators share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from gradflow.core.random import stream as random_stream
from gradflow.core.typing import Array

__all__ = [
    "Batch", "Criterion", "Seed", "TargetKind", "Task", "at_least", "one_hot",
    "sequence_streams",
]  # fmt: skip

TargetKind: TypeAlias = Literal["none", "values", "classes"]

Seed: TypeAlias = int | np.random.Generator
"""A seed, of which every sequence makes a stream of its own; or one stream for all."""


@dataclass(frozen=True)
class Batch:
    """Inputs of T steps for a number of sequences, with what a loss may compare outputs with.

    Parameters
    ----------
    x : array, (T, 1, features, columns)
        One column a sequence; the second axis stands for the nets, which share the data.
    targets : array or None
        ``values``: float, (T, 1, m, columns), NaN where a step has no target.
        ``classes``: int, (T, 1, columns), −1 where a step has no target.
    target_kind : {"none", "values", "classes"}
        Which of the two `targets` holds.
    prefix : bool
        Whether the first k steps, targets included, are bit for bit what a draw of length k gives
        (a stream), so that all lengths may share one forward pass.
    classes : int
        Number of classes, 0 without class targets.
    allowed : array of bool or None
        Which classes would have been right as well, (T, 1, classes, columns).
    lengths : array of int or None
        Where each sequence ends, (columns,): what `x` has after that is never read, and targets
        have none. None: all at T.
    """

    x: Array
    targets: Array | None = None
    target_kind: TargetKind = "none"
    prefix: bool = False
    classes: int = 0
    allowed: Array | None = None
    lengths: Array | None = None

    @property
    def outputs(self) -> int:
        """Rows of a readout that fits the targets: m values or the number of classes, else 0."""
        if self.targets is not None and self.target_kind == "values":
            return int(self.targets.shape[2])
        return self.classes

    @property
    def ends(self) -> bool:
        """Whether there is a sequence whose last step has no target."""
        if self.targets is None:
            return False
        lengths = len(self.x) if self.lengths is None else self.lengths
        last = np.moveaxis(self.targets, -1, 1)[np.array(lengths) - 1, np.arange(self.x.shape[-1])]
        return bool(((last == -1) if self.target_kind == "classes" else np.isnan(last)).any())


def at_least(steps: int, least: int, kind: str) -> None:
    """Raise ValueError where a task is asked for fewer steps than it needs."""
    if steps < least:
        raise ValueError(f"{kind} needs a length of at least {least}, not {steps}")


def sequence_streams(
    seed: Seed, kind: str, sequences: int
) -> Iterator[tuple[int, np.random.Generator]]:
    """Give every sequence its own generator: it is the same however many others are drawn.

    Where a generator is given in place of a seed they are drawn from it one after another: in
    training, where every update reads fresh ones, seeding a generator would cost most.
    """
    for j in range(sequences):
        if isinstance(seed, np.random.Generator):
            yield j, seed
        else:
            yield j, random_stream(seed, "inputs", kind, j)


def one_hot(codes: Array, classes: int) -> Array:
    """Turn codes (T, columns) into inputs (T, 1, classes, columns) with a single 1."""
    hot: Array = codes[:, None, None, :] == np.arange(classes)[:, None]
    return hot.astype(np.float64)


@dataclass(frozen=True)
class Criterion:
    """When a net has learnt: what counts as a sequence answered rightly, and how many must be.

    Parameters
    ----------
    within : float or None
        Every output at every step that has a target differs from it by less. None: the largest
        output is the right one (of all that are right, where several are), and a single one is
        above ½ where its target is.
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

    two_valued: ClassVar[bool] = False
    """Whether its one value tells two classes, by whether it is above ½."""

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
    def told_apart(self) -> bool:
        """Whether an answer is right or wrong, however large its error."""
        return self.target_kind == "classes" or self.two_valued

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

    def draw_test(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Draw a test set: as `draw`, unless a test asks for other than what is taught."""
        return self.draw(steps, sequences, seed)

    def baseline(self, steps: int) -> float | None:
        """The expected loss of a net that remembers nothing, averaged over the steps with a target.

        Mean squared error for values, cross-entropy in nats for classes; None where it is not
        known.
        """
        return None
