"""The temporal order problem: which of two symbols came first, among many that mean nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradflow.core.inputs.batch import Batch, at_least, one_hot, sequence_streams
from gradflow.core.inputs.task import Task

__all__ = ["SYMBOLS", "TemporalOrder"]

SYMBOLS = "EBabcdXY"
"""The one-hot features in order: start, trigger, four distractors, the two that matter."""


@dataclass(frozen=True)
class TemporalOrder(Task):
    """Classify (X, X), (X, Y), (Y, X), (Y, Y) as 0, 1, 2, 3 at the last step.

    E starts, B (the trigger) ends, and all between is drawn from a, b, c, d but for steps t₁ and
    t₂, which are X or Y. Experiment 6a of Hochreiter & Schmidhuber (1997, section 5.6) has
    t₁ ∈ 10..20 and t₂ ∈ 50..60 in strings of 100 to 110 symbols; here the length T is given and
    the windows scale with it: t₁ ∈ ⌊T/10⌋..⌊T/5⌋ and t₂ ∈ ⌊T/2⌋..⌊3T/5⌋, counted from 0, E.
    """

    kind = "temporal-order"
    target_kind = "classes"
    targets_at = "last"
    features = len(SYMBOLS)
    shortest = 10

    def draw(self, steps: int, sequences: int, seed: int) -> Batch:
        """Draw sequences.

        Returns
        -------
        Batch
            ``x`` (T, 1, 8, sequences) in the order of `SYMBOLS`; targets ``classes``, 4
            of them, at the last step only.
        """
        at_least(steps, 10, "temporal-order")
        codes = np.empty((steps, sequences), dtype=np.int64)
        targets = np.full((steps, 1, sequences), -1)
        for j, rng in sequence_streams(seed, "temporal-order", sequences):
            first = rng.integers(steps // 10, steps // 5 + 1)
            second = rng.integers(steps // 2, 3 * steps // 5 + 1)
            which = rng.integers(2, size=2)
            codes[:, j] = SYMBOLS.index("a") + rng.integers(4, size=steps)
            codes[[first, second], j] = SYMBOLS.index("X") + which
            targets[-1, 0, j] = 2 * which[0] + which[1]
        codes[0], codes[-1] = SYMBOLS.index("E"), SYMBOLS.index("B")
        return Batch(one_hot(codes, len(SYMBOLS)), targets, "classes", classes=4)

    def baseline(self, steps: int) -> float:
        """ln 4: a guess among four."""
        return math.log(4)
