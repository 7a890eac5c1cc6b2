"""What every source of inputs returns, and what the generators share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from gradflow.core.random import stream as random_stream
from gradflow.core.typing import Array

__all__ = ["Batch", "Seed", "TargetKind", "at_least", "one_hot", "sequence_streams"]

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
    """

    x: Array
    targets: Array | None = None
    target_kind: TargetKind = "none"
    prefix: bool = False
    classes: int = 0
    allowed: Array | None = None

    @property
    def outputs(self) -> int:
        """Rows of a readout that fits the targets: m values or the number of classes, else 0."""
        if self.targets is not None and self.target_kind == "values":
            return int(self.targets.shape[2])
        return self.classes


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
