"""Store, protect, recall: the task on which a carousel without gates is in conflict."""

from __future__ import annotations

import numpy as np

from gradflow.core.inputs.batch import Batch, at_least, sequence_streams
from gradflow.core.inputs.task import Task

__all__ = ["TASK", "distractors"]


def distractors(steps: int, sequences: int, seed: int, *, scale: float = 1.0) -> Batch:
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
    steps, sequences, seed : int
        Length T (at least 2), number of columns, and the seed of the data.
    scale : float
        Standard deviation of the distractors.

    Returns
    -------
    Batch
        ``x`` (T, 1, 3, sequences); targets ``values`` with m = 1 at every step.

    Raises
    ------
    ValueError
        If `steps` is below 2.
    """
    at_least(steps, 2, "distractors")
    x = np.zeros((steps, 1, 3, sequences))
    targets = np.zeros((steps, 1, 1, sequences))
    for j, rng in sequence_streams(seed, "distractors", sequences):
        stored = 2.0 * rng.integers(2) - 1.0
        x[0, 0, :2, j] = stored, 1.0
        x[1:-1, 0, 0, j] = scale * rng.standard_normal(steps - 2)
        targets[-1, 0, 0, j] = stored
    x[-1, 0, 2] = 1.0
    return Batch(x, targets, "values")


TASK = Task("distractors", distractors, "values", shortest=lambda **options: 2)
