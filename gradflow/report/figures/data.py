"""What figures are drawn from: medians and bands over seeds and sequences, thinned to the eye."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from gradflow.core.quantity import Result
from gradflow.core.typing import Array
from gradflow.report.figures.spots import Place, Spot
from gradflow.report.read.bands import quantile
from gradflow.report.read.rates import slopes
from gradflow.report.read.records import (
    Curves,
    Group,
    Run,
    curves,
    groups,
    length_of,
    original_step,
)
from gradflow.report.read.records import states as recorded

__all__ = ["HIGH", "LOW", "Band", "finite_range", "gather", "thin"]

LAGS = 800
"""About how many lags of a curve are drawn: more than a printed column resolves."""

LOW, HIGH = 0.1, 0.9
"""The quantiles over seeds and sequences between which the band lies."""


@dataclass(frozen=True)
class Band(Spot):
    """The median curve of a state at one place, and its 10–90 % band.

    Parameters
    ----------
    lag, step : array (n,)
        Ascending lags, and their steps in original time.
    low, median, high : array (n,)
        log10 norms.
    slopes : array (seeds,)
        Decades per step of each seed: the median over its sequences. A seed without is left out.
    """

    lag: Array
    step: Array
    low: Array
    median: Array
    high: Array
    slopes: Array


def gather(run: Run, states: Collection[str] | None = None) -> dict[str, list[Band]]:
    """Read every result once and condense it, for each of `states` (default: all) in plan order.

    Only thinned curves are kept while the seeds of a point come together.
    """
    found: dict[str, list[Band]] = {}
    for group in groups(run):
        pooled: dict[tuple[str, Place], list[Array]] = {}
        grids: dict[tuple[str, Place], tuple[Array, Array]] = {}
        fits: dict[tuple[str, Place], list[float]] = {}
        length = 0
        for point in group.points:
            result = run.result(point)
            length = length_of(point, result)
            for state in _wanted(result, states):
                for one in curves(result[state]):
                    at = thin(one.lag)
                    key = (state, (one.layer, one.direction))
                    pooled.setdefault(key, []).append(one.values[:, at])
                    fits.setdefault(key, []).extend(_median_slope(one))
                    steps = original_step(one.step[at], one.direction, length)
                    grids[key] = (one.lag[at], steps)
        for key, values in pooled.items():
            band = _band(group, length, key[1], grids[key], values, fits[key])
            found.setdefault(key[0], []).append(band)
    return found


def finite_range(bands: Sequence[Band]) -> tuple[float, float]:
    """Return the least and the greatest of all norms above zero, or 0 and 0 if there are none."""
    every = np.concatenate([y for band in bands for y in (band.low, band.median, band.high)])
    finite = every[np.isfinite(every)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _wanted(result: Result, states: Collection[str] | None) -> list[str]:
    return [name for name in recorded(result) if states is None or name in states]


def _band(
    group: Group,
    length: int,
    place: Place,
    grid: tuple[Array, Array],
    values: list[Array],
    fits: list[float],
) -> Band:
    every = np.concatenate(values)
    low, median, high = (quantile(every, q) for q in (LOW, 0.5, HIGH))
    return Band(
        cell=group.cell,
        length=length,
        axes=group.axes,
        place=place,
        seeds=len(values),
        sequences=len(values[0]),
        lag=grid[0],
        step=grid[1],
        low=low,
        median=median,
        high=high,
        slopes=np.array(fits),
    )


def _median_slope(one: Curves) -> list[float]:
    fits = slopes(one.lag, one.values)
    return [float(np.median(fits))] if fits.size else []


def thin(lag: Array) -> Array:
    """Choose all early lags, and later ones evenly."""
    if lag.size <= LAGS:
        return np.arange(lag.size)
    even = np.linspace(0, lag.size - 1, LAGS * 3 // 4).round().astype(int)
    return np.union1d(even, np.arange(LAGS // 4))
