"""How fast a gradient fades or grows: slope, half-life, horizons, verdict.

Let y(lag) be log10 of a norm, lag 0 the last loss step and the far end the oldest recorded step
(step 0, the initial state, where it was recorded).

decades
    y(far end) − y(loss end) of each sequence; the median over sequences, then over seeds. The loss
    end is the smallest lag with a norm above zero.
slope
    Decades per step: least squares of y against lag over the recorded lags of each sequence, exact
    zeros left out; the median over sequences, then over seeds.
spread
    Half the 10–90 % range of the seeds' slopes.
half-life
    log10(2) / abs(slope) steps; the doubling time where the slope is positive.
horizon
    The first recorded lag at which the median curve (over sequences, then over seeds) would read 0
    or ∞ if its norm were stored as float16, float32 or float64, rounded to nearest. Where the curve
    ends before, it is continued from the far end with the slope, and marked ``~``. It is the
    horizon of the *norm*: the entries of the vector, being smaller, are lost a little earlier.
verdict
    *vanishes* if decades < −1 or the far end is exactly zero, *explodes* if decades > 1, else
    *steady*. Each seed has its own verdict; a row shows that of the median over seeds and, where
    seeds differ, how many of them share it.

No number here is ever NaN: what is not defined (the slope of a single lag) is None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradflow.core.quantity import Quantity, Result
from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.report.read.bands import quantile
from gradflow.report.read.horizons import FLAT, LIMITS, Horizon, horizon
from gradflow.report.read.records import Curves, curves

__all__ = ["STEADY", "Summary", "Verdict", "slopes", "summarise", "verdict"]

STEADY = 1.0
"""Decades between the far end and the loss end within which a curve is steady."""

Verdict = Literal["vanishes", "steady", "explodes"]


@dataclass(frozen=True)
class Summary:
    """The numbers of one state at one layer and direction, over the seeds of a point.

    Parameters
    ----------
    state, layer, direction
        What was recorded.
    seeds, sequences, lags : int
        How many curves, and how far back they reach.
    decades : float
        Far end minus loss end; −inf where the far end is exactly zero.
    slope, spread : float or None
        Decades per step and half the 10–90 % range over seeds; None where there is no such thing.
    horizons : mapping
        By format.
    verdict : {"vanishes", "steady", "explodes"}
        See the module's rules.
    agree : int
        Seeds that share it.
    """

    state: str
    layer: int
    direction: str
    seeds: int
    sequences: int
    lags: int
    decades: float
    slope: float | None
    spread: float | None
    horizons: Mapping[str, Horizon | None]
    verdict: Verdict
    agree: int

    @property
    def flat(self) -> bool:
        """Whether the slope is no more than rounding."""
        return self.slope is not None and abs(self.slope) < FLAT

    @property
    def half_life(self) -> float | None:
        """Steps in which the norm halves (or doubles, where it grows); ∞ where flat."""
        if self.slope is None:
            return None
        return math.inf if self.flat else math.log10(2) / abs(self.slope)


def verdict(decades: float) -> Verdict:
    """Judge a difference of far end and loss end; −inf vanishes."""
    if decades > STEADY:
        return "explodes"
    return "vanishes" if decades < -STEADY else "steady"


def slopes(lag: Array, values: Array) -> Array:
    """Fit each row of `values` (sequences, n) against `lag`: decades per step.

    Rows with fewer than two norms above zero have no slope and are left out.
    """
    finite = np.isfinite(values)
    if finite.all():
        return _fit(lag, values) if lag.size > 1 else np.empty(0)
    fits = [
        _fit(lag[mask], row[mask])
        for row, mask in zip(values, finite, strict=True)
        if mask.sum() > 1
    ]
    return np.array(fits)


def summarise(results: Iterable[Result], state: str = "s") -> list[Summary]:
    """Summarise one state over the results of several seeds, for each layer and direction.

    Raises
    ------
    UserError
        If the results have not recorded the state.
    """
    seeds: dict[tuple[int, str], list[_Seed]] = {}
    for result in results:
        if state not in result:
            raise UserError(f"no state {state!r} was recorded; there is {', '.join(result)}")
        for seed in _seeds(result[state]):
            seeds.setdefault((seed.layer, seed.direction), []).append(seed)
    return [_pool(state, group) for group in seeds.values()]


@dataclass(frozen=True)
class _Seed:
    """What one result leaves behind, so that a long sweep need not be held in memory."""

    layer: int
    direction: str
    sequences: int
    decades: float
    slope: float | None
    lag: Array
    median: Array


def _seeds(quantity: Quantity) -> Iterator[_Seed]:
    for one in curves(quantity):
        fits = slopes(one.lag, one.values)
        yield _Seed(
            layer=one.layer,
            direction=one.direction,
            sequences=len(one.values),
            decades=float(np.median(_decades(one))),
            slope=float(np.median(fits)) if fits.size else None,
            lag=one.lag,
            median=np.median(one.values, axis=0),
        )


def _pool(state: str, seeds: list[_Seed]) -> Summary:
    fits = np.array([seed.slope for seed in seeds if seed.slope is not None])
    slope = float(np.median(fits)) if fits.size else None
    decades = float(np.median([seed.decades for seed in seeds]))
    lag, curve = seeds[0].lag, np.median([seed.median for seed in seeds], axis=0)
    return Summary(
        state=state,
        layer=seeds[0].layer,
        direction=seeds[0].direction,
        seeds=len(seeds),
        sequences=seeds[0].sequences,
        lags=int(lag[-1]),
        decades=decades,
        slope=slope,
        spread=float(quantile(fits, 0.9) - quantile(fits, 0.1)) / 2 if fits.size > 1 else None,
        horizons={name: horizon(lag, curve, slope, limits) for name, limits in LIMITS.items()},
        verdict=verdict(decades),
        agree=sum(verdict(seed.decades) == verdict(decades) for seed in seeds),
    )


def _decades(one: Curves) -> Array:
    finite = np.isfinite(one.values)
    start = one.values[np.arange(len(one.values)), finite.argmax(axis=1)]
    far = one.values[:, -1]
    return np.where(finite[:, -1], far - np.where(finite.any(axis=1), start, 0.0), -np.inf)


def _fit(lag: Array, values: Array) -> Array:
    centred = lag - lag.mean()
    offsets = values - values[..., :1]  # a flat curve then has a slope of exactly zero
    return np.asarray(offsets @ centred / (centred @ centred))
