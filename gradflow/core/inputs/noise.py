"""Gaussian noise: input without structure, or silence."""

from __future__ import annotations

import numpy as np

from gradflow.core.inputs.batch import Batch, at_least, sequence_streams
from gradflow.core.inputs.task import Task

__all__ = ["TASK", "noise"]


def noise(steps: int, sequences: int, seed: int, *, features: int = 1, scale: float = 1.0) -> Batch:
    """x_t ~ scale · N(0, 1), independent in every feature and step; a scale of 0 is silence.

    Parameters
    ----------
    steps, sequences, seed : int
        Length T, number of columns, and the seed of the data.
    features : int
        Number of features, all with the same scale.
    scale : float
        Standard deviation of each feature.

    Returns
    -------
    Batch
        ``x`` (T, 1, features, sequences), no targets, a prefix stream.

    Raises
    ------
    ValueError
        If `steps` or `features` is below 1.
    """
    at_least(steps, 1, "noise")
    if features < 1:
        raise ValueError(f"noise needs at least 1 feature, not {features}")
    x = np.zeros((steps, 1, features, sequences))
    if scale != 0:
        for j, rng in sequence_streams(seed, "noise", sequences):
            x[:, 0, :, j] = rng.standard_normal((steps, features))
        x *= scale
    return Batch(x, prefix=True)


TASK = Task("noise", noise, prefix=True)
