"""The adding problem: two marked numbers, far apart, and their sum at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradflow.core.inputs.batch import Batch, at_least, sequence_streams
from gradflow.core.inputs.task import Task

__all__ = ["Adding"]


@dataclass(frozen=True)
class Adding(Task):
    """Features (value, marker); the target at the last step is the sum of the two marked values.

    ``value_t ~ U(0, 1)``; ``marker_t`` is 1 at one step of the first half (t < ⌊T/2⌋, counted from
    0), at one step of the second, and 0 elsewhere. This is the form of Arjovsky, Shah & Bengio
    (2016, section 4.2) of experiment 4 of Hochreiter & Schmidhuber (1997, section 5.4), who draw
    from (−1, 1), mark within the first half too, and scale the sum to 0.5 + (v₁ + v₂)/4. Always
    answering 1 has an expected squared error of 1/6.
    """

    kind = "adding"
    target_kind = "values"
    targets_at = "last"
    features = 2
    shortest = 2

    def draw(self, steps: int, sequences: int, seed: int) -> Batch:
        """Draw sequences.

        Returns
        -------
        Batch
            ``x`` (T, 1, 2, sequences); targets ``values`` with m = 1, NaN before the
            last step.
        """
        at_least(steps, 2, "adding")
        half = steps // 2
        x = np.zeros((steps, 1, 2, sequences))
        targets = np.full((steps, 1, 1, sequences), np.nan)
        for j, rng in sequence_streams(seed, "adding", sequences):
            marked = [rng.integers(half), half + rng.integers(steps - half)]
            x[:, 0, 0, j] = rng.random(steps)
            x[marked, 0, 1, j] = 1.0
            targets[-1, 0, 0, j] = x[marked, 0, 0, j].sum()
        return Batch(x, targets, "values")

    def baseline(self, steps: int) -> float:
        """Var(v₁ + v₂) = 1/6: always answering 1."""
        return 1 / 6
