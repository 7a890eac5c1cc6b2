"""The temporal order problem: which of two symbols came first, among many that mean nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradflow.core.inputs.batch import Batch, Seed, at_least, one_hot, sequence_streams
from gradflow.core.inputs.task import Criterion, Task
from gradflow.core.options import option

__all__ = ["SYMBOLS", "TemporalOrder"]

SYMBOLS = "EBabcdXY"
"""The one-hot features in order: start, trigger, four distractors, the two that matter."""


WINDOWS = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}
"""Where each of the symbols may stand, in hundredths of the length."""


@dataclass(frozen=True)
class TemporalOrder(Task):
    """Classify (X, X), (X, Y), (Y, X), (Y, Y) as 0, 1, 2, 3 at the last step; or triples as 0 … 7.

    E starts, B (the trigger) ends, and all between is drawn from a, b, c, d but for steps t₁ and
    t₂, which are X or Y. Experiment 6a of Hochreiter & Schmidhuber (1997, section 5.6) has
    t₁ ∈ 10..20 and t₂ ∈ 50..60 in strings of 100 to 110 symbols; here the length T is given and
    the windows scale with it: t₁ ∈ ⌊T/10⌋..⌊T/5⌋ and t₂ ∈ ⌊T/2⌋..⌊3T/5⌋, counted from 0, E. With
    three marks (6b) t₂ ∈ ⌊33T/100⌋..⌊43T/100⌋ and t₃ ∈ ⌊66T/100⌋..⌊76T/100⌋. A sequence is right if
    no output is off by 0.3; 2,000 in a row must be, with a mean error below 0.1.
    """

    kind = "temporal-order"
    target_kind = "classes"
    targets_at = "last"
    features = len(SYMBOLS)
    shortest = 10

    marks: Literal[2, 3] = option(2, "symbols whose order is asked for (6a, 6b)")

    @property
    def criterion(self) -> Criterion:
        """That of 1997."""
        return Criterion(within=0.3, mean=0.1)

    def draw(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Draw sequences.

        Returns
        -------
        Batch
            ``x`` (T, 1, 8, sequences) in the order of `SYMBOLS`; targets ``classes``, 4
            or 8 of them, at the last step only.
        """
        at_least(steps, 10, "temporal-order")
        codes = np.empty((steps, sequences), dtype=np.int64)
        targets = np.full((steps, 1, sequences), -1)
        windows = WINDOWS[self.marks]
        for j, rng in sequence_streams(seed, "temporal-order", sequences):
            at = [rng.integers(lo * steps // 100, hi * steps // 100 + 1) for lo, hi in windows]
            which = rng.integers(2, size=self.marks)
            codes[:, j] = SYMBOLS.index("a") + rng.integers(4, size=steps)
            codes[at, j] = SYMBOLS.index("X") + which
            targets[-1, 0, j] = sum(bit << k for k, bit in enumerate(which[::-1].tolist()))
        codes[0], codes[-1] = SYMBOLS.index("E"), SYMBOLS.index("B")
        return Batch(one_hot(codes, len(SYMBOLS)), targets, "classes", classes=2**self.marks)

    def baseline(self, steps: int) -> float:
        """ln 4 or ln 8: a guess among all."""
        return self.marks * math.log(2)
