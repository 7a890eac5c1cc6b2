"""Store, protect, recall: the task on which a carousel without gates is in conflict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradflow.core.inputs.batch import Batch, Seed, at_least, sequence_streams
from gradflow.core.inputs.task import Task
from gradflow.core.options import option

__all__ = ["Distractors"]


@dataclass(frozen=True)
class Distractors(Task):
    """Features (value, store, recall); the answer is 0 until the recall, then the stored value.

    ====================  ================  =====  ======  ======
    step                  value             store  recall  target
    ====================  ================  =====  ======  ======
    1                     v = ±1            1      0       0
    2 … T − 1             scale · N(0, 1)   0      0       0
    T                     0                 0      1       v
    ====================  ================  =====  ======  ======

    The one input weight of a linear carousel must store v and ignore the distractors (input weight
    conflict); its one output weight must be silent before the recall and tell v then (output weight
    conflict): Hochreiter & Schmidhuber (1997, section 3.2). Gates that see the cues resolve both.

    Parameters
    ----------
    scale : float
        Standard deviation of the distractors.
    """

    kind = "distractors"
    target_kind = "values"
    features = 3
    shortest = 2

    scale: float = option(1.0, "standard deviation of the distractors", least=0)

    def draw(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Draw ``x`` (T, 1, 3, sequences); targets ``values`` with m = 1 at every step."""
        at_least(steps, 2, "distractors")
        x = np.zeros((steps, 1, 3, sequences))
        targets = np.zeros((steps, 1, 1, sequences))
        for j, rng in sequence_streams(seed, "distractors", sequences):
            stored = 2.0 * rng.integers(2) - 1.0
            x[0, 0, :2, j] = stored, 1.0
            x[1:-1, 0, 0, j] = self.scale * rng.standard_normal(steps - 2)
            targets[-1, 0, 0, j] = stored
        x[-1, 0, 2] = 1.0
        return Batch(x, targets, "values")

    def baseline(self, steps: int) -> float:
        """1 / T: the answer is ±1 at the last step, 0 at all others."""
        return 1 / steps
