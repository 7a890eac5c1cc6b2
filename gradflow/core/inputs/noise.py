"""Gaussian noise: input without structure, or silence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradflow.core.inputs.batch import Batch, Seed, at_least, sequence_streams
from gradflow.core.inputs.task import Task
from gradflow.core.options import option

__all__ = ["Noise"]


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
