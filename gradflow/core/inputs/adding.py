"""Two marked numbers, far apart: their sum, or their product, at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradflow.core.inputs.task import Batch, Criterion, Seed, Task, at_least, sequence_streams
from gradflow.core.registry import option
from gradflow.core.typing import Array

__all__ = ["Adding", "Multiplication"]


@dataclass(frozen=True)
class Adding(Task):
    """Features (value, marker); the target at the last step is the sum of the two marked values.

    ``arjovsky`` (Arjovsky, Shah & Bengio 2016, section 4.2): ``value_t ~ U(0, 1)``; ``marker_t`` is
    1 at one step of the first half (t < ⌊T/2⌋, counted from 0), at one step of the second, and 0
    elsewhere; the target is v₁ + v₂. Always answering 1 has an expected squared error of 1/6.

    ``hochreiter`` (Hochreiter & Schmidhuber 1997, section 5.4, experiment 4): ``value_t ~ U(−1,
    1)``; marked are one of the first ten steps and another of the first ⌊T/2⌋ − 1; the marker is
    −1 at the first and the last step where these are not marked. A value marked at the first step
    is 0. The target is 0.5 + (v₁ + v₂)/4; the criterion asks for an error below 0.04 in the
    2,000 most recent sequences, and a mean of 0.01.
    """

    kind = "adding"
    target_kind = "values"
    targets_at = "last"
    features = 2

    form: Literal["arjovsky", "hochreiter"] = option("arjovsky", "as published by whom")

    @property
    def shortest(self) -> int:
        """Room for two marks."""
        return 2 if self.form == "arjovsky" else 26

    @property
    def criterion(self) -> Criterion | None:
        """That of 1997."""
        return Criterion(within=0.04, mean=0.01) if self.form == "hochreiter" else None

    def draw(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Draw sequences.

        Returns
        -------
        Batch
            ``x`` (T, 1, 2, sequences); targets ``values`` with m = 1, NaN before the
            last step.
        """
        at_least(steps, self.shortest, "adding")
        if self.form == "hochreiter":
            x, first, second = _marked(steps, sequences, seed, "adding", -1.0)
            return _asked(x, 0.5 + (first + second) / 4)
        half = steps // 2
        x = np.zeros((steps, 1, 2, sequences))
        sums = np.zeros(sequences)
        for j, rng in sequence_streams(seed, "adding", sequences):
            marked = [rng.integers(half), half + rng.integers(steps - half)]
            x[:, 0, 0, j] = rng.random(steps)
            x[marked, 0, 1, j] = 1.0
            sums[j] = x[marked, 0, 0, j].sum()
        return _asked(x, sums)

    def baseline(self, steps: int) -> float:
        """Always answering the mean: Var(v₁ + v₂) = 1/6, or 1/16 of 2/3."""
        return 1 / 6 if self.form == "arjovsky" else 1 / 24


@dataclass(frozen=True)
class Multiplication(Task):
    """As adding in its form of 1997, with values from (0, 1) and their product for a target.

    Hochreiter & Schmidhuber (1997, section 5.5, experiment 5): a value marked at the first step
    is 1; the criterion allows so many of the 2,000 most recent sequences an error of 0.04 or
    more.
    """

    kind = "multiplication"
    target_kind = "values"
    targets_at = "last"
    features = 2
    shortest = 26

    misses: int = option(13, "errors that the criterion allows, 140 or 13", least=0, most=2000)

    @property
    def criterion(self) -> Criterion:
        """At most so many of 2,000."""
        return Criterion(within=0.04, misses=self.misses)

    def draw(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Draw ``x`` (T, 1, 2, sequences), and targets at the last step."""
        at_least(steps, self.shortest, "multiplication")
        x, first, second = _marked(steps, sequences, seed, "multiplication", 0.0, nothing=1.0)
        return _asked(x, first * second)

    def baseline(self, steps: int) -> float:
        """Var(v₁ v₂) = 1/9 − 1/16, but for the sequences that are marked at their first step."""
        return 1 / 9 - 1 / 16


def _marked(
    steps: int, sequences: int, seed: Seed, kind: str, low: float, nothing: float = 0.0
) -> tuple[Array, Array, Array]:
    """x in the form of 1997, values from (low, 1), and the two values that are marked."""
    x = np.zeros((steps, 1, 2, sequences))
    values = np.zeros((2, sequences))
    for j, rng in sequence_streams(seed, kind, sequences):
        first = int(rng.integers(10))
        second = int(rng.integers(steps // 2 - 2))
        marked = [first, second + (second >= first)]
        x[:, 0, 0, j] = low + (1 - low) * rng.random(steps)
        x[[0, -1], 0, 1, j] = -1.0
        x[marked, 0, 1, j] = 1.0
        if 0 in marked:
            x[0, 0, 0, j] = nothing
        values[:, j] = x[marked, 0, 0, j]
    return x, values[0], values[1]


def _asked(x: Array, answers: Array) -> Batch:
    """Targets at the last step."""
    targets = np.full((len(x), 1, 1, x.shape[-1]), np.nan)
    targets[-1, 0, 0] = answers
    return Batch(x, targets, "values")
