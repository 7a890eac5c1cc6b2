"""What an input task is: everything that the house asks of it, in one class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from gradflow.core.inputs.batch import Batch, TargetKind

__all__ = ["Task"]


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

    most: ClassVar[int] = 1_000_000
    """Sequences at most."""

    @property
    @abstractmethod
    def features(self) -> int:
        """Count the features of each step."""

    @property
    def longest(self) -> int | None:
        """All the steps there are; None if they have no end."""
        return None

    @property
    def shortest(self) -> int:
        """The fewest steps that make sense."""
        return 1

    @abstractmethod
    def draw(self, steps: int, sequences: int, seed: int) -> Batch:
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
