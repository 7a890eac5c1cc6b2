"""Inputs of numbers: noise or silence, a value among distractors, and real streams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradflow.core.inputs.task import Batch, Seed, Task, at_least, one_hot, sequence_streams
from gradflow.core.registry import option
from gradflow.core.typing import Array

__all__ = ["Distractors", "Noise", "series_stream", "symbol_stream"]


@dataclass(frozen=True)
class Noise(Task):
    """x_t ~ scale · N(0, 1), independent in every feature and step; a scale of 0 is silence.

    Parameters
    ----------
    features : int
        Number of features, all with the same scale.
    scale : float
        Standard deviation of each feature.
    """

    kind = "noise"
    prefix = True

    features: int = option(1, "number of features", least=1, most=65536)
    scale: float = option(1.0, "standard deviation; 0 is silence", least=0)

    def draw(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Draw ``x`` (T, 1, features, sequences), no targets, a prefix stream."""
        at_least(steps, 1, "noise")
        if self.features < 1:
            raise ValueError(f"noise needs at least 1 feature, not {self.features}")
        x = np.zeros((steps, 1, self.features, sequences))
        if self.scale != 0:
            for j, rng in sequence_streams(seed, "noise", sequences):
                x[:, 0, :, j] = rng.standard_normal((steps, self.features))
            x *= self.scale
        return Batch(x, prefix=True)


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


def series_stream(series: Array, steps: int | None = None) -> Batch:
    """Read series of numbers; the target of each step is the step that follows.

    Parameters
    ----------
    series : array, (sequences, total, features)
        The data; numbers of any type, cast to float64.
    steps : int, optional
        Length T ≤ total; all of it by default.

    Returns
    -------
    Batch
        ``x`` (T, 1, features, sequences); targets ``values`` (T, 1, features, sequences), NaN
        where the data end; a prefix stream.

    Raises
    ------
    ValueError
        If the series has fewer steps than asked for.
    """
    steps = _length(series.shape[1], steps)
    x = np.ascontiguousarray(series[:, :steps].transpose(1, 2, 0)[:, None], dtype=np.float64)
    targets = np.full_like(x, np.nan)
    following = series[:, 1 : steps + 1].transpose(1, 2, 0)
    targets[: len(following), 0] = following
    return Batch(x, targets, "values", prefix=True)


def symbol_stream(codes: Array, classes: int, steps: int | None = None) -> Batch:
    """Read strings of symbols, one-hot; the target of each step is the symbol that follows.

    Parameters
    ----------
    codes : array of int, (sequences, total)
        The symbols, 0 to ``classes − 1``.
    classes : int
        Size of the alphabet.
    steps : int, optional
        Length T ≤ total; all of it by default.

    Returns
    -------
    Batch
        ``x`` (T, 1, classes, sequences); targets ``classes`` (T, 1, sequences), −1 where the data
        end; a prefix stream.

    Raises
    ------
    ValueError
        If the strings have fewer symbols than asked for.
    """
    steps = _length(codes.shape[1], steps)
    targets = np.full((steps, 1, len(codes)), -1)
    following = codes[:, 1 : steps + 1].T
    targets[: len(following), 0] = following
    return Batch(one_hot(codes[:, :steps].T, classes), targets, "classes", True, classes)


def _length(total: int, steps: int | None) -> int:
    steps = total if steps is None else steps
    at_least(steps, 1, "a stream")
    if steps > total:
        raise ValueError(f"the data have {total} steps, fewer than the length {steps}")
    return steps
