"""Medians and bands: what is left of many seeds and sequences, in every table and figure.

−inf is the exact zero of a derivative and stays −inf; NaN, where nothing was recorded, is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gradflow.core.typing import Array

__all__ = ["HIGH", "LOW", "Band", "band", "finite_range", "quantile"]

LOW, HIGH = 0.1, 0.9
"""The quantiles between which a band lies."""


@dataclass(frozen=True)
class Band:
    """Median of several curves, and the 10–90 % of them around it."""

    low: Array
    median: Array
    high: Array


def band(values: Array) -> Band:
    """Condense `values` along the first axis."""
    low, median, high = (quantile(values, q) for q in (LOW, 0.5, HIGH))
    return Band(low, median, high)


def quantile(values: Array, q: float, axis: int = 0) -> Array:
    """Interpolate the quantile `q` of what is a number; NaN where nothing is."""
    ordered = np.sort(np.moveaxis(np.asarray(values, float), axis, 0), axis=0)
    last = np.maximum(np.sum(~np.isnan(ordered), axis=0, keepdims=True) - 1, 0)
    position = q * last
    index = position.astype(int)
    below = np.take_along_axis(ordered, index, 0)[0]
    above = np.take_along_axis(ordered, np.minimum(index + 1, last), 0)[0]
    share = (position - index)[0]
    between = np.isfinite(below) & (share > 0)
    gap = np.subtract(above, below, where=between, out=np.zeros_like(below))
    return np.asarray(below + share * gap)


def finite_range(bands: Iterable[Band | Array]) -> tuple[float, float]:
    """Return the least and the greatest of all finite numbers, or 0 and 0 if there are none."""
    each = [
        part
        for one in bands
        for part in ((one.low, one.median, one.high) if isinstance(one, Band) else (one,))
    ]
    every = np.concatenate([np.ravel(part) for part in each]) if each else np.empty(0)
    finite = every[np.isfinite(every)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
