"""Real streams: predict the next step of a series or of a string of symbols."""

from __future__ import annotations

import numpy as np

from gradflow.core.inputs.batch import Batch, at_least, one_hot
from gradflow.core.typing import Array

__all__ = ["series_stream", "symbol_stream"]


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
