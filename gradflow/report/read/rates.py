"""How fast a gradient fades or grows: slope, half-life, horizons, verdict.

Let y(lag) be log10 of a norm, lag 0 the last loss step and the far end the oldest recorded step
(step 0, the initial state, where it was recorded).

decades
    y(far end) − y(loss end) of each sequence, which may have a length of its own; the median over
    sequences, then over seeds. The loss end is the smallest lag with a norm above zero.
slope
    Decades per step: least squares of y against lag over the recorded lags of each sequence, exact
    zeros left out; the median over sequences, then over seeds.
spread
    Half the 10–90 % range of the seeds' slopes.
bend
    What does not lie along the slope: the largest distance of the median curve from a line with
    that slope. Beyond half a decade and a fifth of what the slope makes of all lags, the curve is
    not straight: it *drops* at once, *turns* on the way or is *uneven*. Nothing is then continued.
half-life
    log10(2) / abs(slope) steps; the doubling time where the slope is positive. Of straight curves
    alone.
horizon
    From which recorded lag on the median curve (over sequences, then over seeds) is not what it is
    if it is stored as float16, float32 or float64 (see `gradflow.report.read.horizons`). Where the
    curve ends before, it is continued from the far end with the slope, if it is straight, and
    marked ``~``.
verdict
    *vanishes* if decades < −1 or the far end is exactly zero, *explodes* if decades > 1, else
    *steady*; none where error goes back no more than one step. Each seed has its own verdict; a row
    shows that of the median over seeds and, where seeds differ, how many of them share it.

Where L is a sum over steps all of this is about the last loss alone (`judged`).

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
from gradflow.report.read.records import Curves, curves, judged

__all__ = ["STEADY", "Bend", "Summary", "Verdict", "bend", "slopes", "summarise", "verdict"]

STEADY = 1.0
"""Decades between the far end and the loss end within which a curve is steady."""

ROUGH = 0.5, 0.2
"""Decades, and share of the slope's, by which a straight curve may leave its line."""

FEWEST = 2
"""Lags below which there is no verdict: one step back is no way."""

Verdict = Literal["vanishes", "steady", "explodes"]


@dataclass(frozen=True)
class Bend:
    """How a curve is not straight.

    Parameters
    ----------
    kind : {"drop", "turn", "uneven"}
        Most of it lies in the first steps; the curve goes one way and comes back; neither.
    decades : float
        Of a drop how far the curve falls (or, negative, rises) before it follows its slope, of a
        turn where it turns, over the loss end; else the largest distance from the slope.
    """

    kind: Literal["drop", "turn", "uneven"]
    decades: float


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
    verdict : {"vanishes", "steady", "explodes"} or None
        See the module's rules; None where there are no lags to judge.
    agree : int
        Seeds that share it.
    bend : Bend or None
        How the curve is not straight; None where it is.
    several : bool
        L is a sum over steps, of which this is the last loss alone.
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
    verdict: Verdict | None
    agree: int
    bend: Bend | None = None
    several: bool = False

    @property
    def straight(self) -> bool:
        """Whether the curve can be continued: it follows its slope, and ends above zero."""
        return self.bend is None and math.isfinite(self.decades)

    @property
    def flat(self) -> bool:
        """Whether the slope is no more than rounding."""
        return self.slope is not None and abs(self.slope) < FLAT

    @property
    def half_life(self) -> float | None:
        """Steps in which the norm halves (or doubles, where it grows); ∞ where flat."""
        if self.slope is None or not self.straight:
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
        for seed in _seeds(judged(result, state)):
            seeds.setdefault((seed.layer, seed.direction), []).append(seed)
    return [_pool(state, group) for group in seeds.values()]


def bend(lag: Array, curve: Array, slope: float | None) -> Bend | None:
    """Say how a curve leaves the line of its slope; exact zeros are left out."""
    alive = np.isfinite(curve)
    if slope is None or alive.sum() < 3:
        return None
    lag, curve = lag[alive], curve[alive]
    rest = curve - slope * lag
    away = rest - float(np.median(rest))
    size, along = float(np.abs(away).max()), abs(slope) * float(lag[-1] - lag[0])
    if size <= max(ROUGH[0], ROUGH[1] * along):
        return None
    way = curve - curve[0]
    lowest, highest, end = float(way.min()), float(way.max()), float(way[-1])
    if min(0.0, end) - lowest > ROUGH[0]:
        return Bend("turn", lowest)
    if highest - max(0.0, end) > ROUGH[0]:
        return Bend("turn", highest)
    if abs(away[0]) >= 0.7 * size:
        return Bend("drop", float(away[0]))
    return Bend("uneven", size)


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
    several: bool
    entries: int


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
            median=_median(one.values),
            several=quantity.name.endswith(".last"),
            entries=one.entries,
        )


def _pool(state: str, seeds: list[_Seed]) -> Summary:
    fits = np.array([seed.slope for seed in seeds if seed.slope is not None])
    slope = float(np.median(fits)) if fits.size else None
    decades = float(np.median([seed.decades for seed in seeds]))
    lag, curve = seeds[0].lag, np.median([seed.median for seed in seeds], axis=0)
    bent = bend(lag, curve, slope)
    straight = bent is None and math.isfinite(decades)
    judges = int(lag[-1]) >= FEWEST
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
        horizons={
            name: horizon(lag, curve, slope, limits, entries=seeds[0].entries, straight=straight)
            for name, limits in LIMITS.items()
        },
        verdict=verdict(decades) if judges else None,
        agree=sum(verdict(seed.decades) == verdict(decades) for seed in seeds),
        bend=bent,
        several=seeds[0].several,
    )


def _median(values: Array) -> Array:
    """The median over sequences, of those that reach so far back."""
    lacking = bool(np.isnan(values).any())
    return quantile(values, 0.5) if lacking else np.asarray(np.median(values, axis=0))


def _decades(one: Curves) -> Array:
    finite, rows = np.isfinite(one.values), np.arange(len(one.values))
    start = one.values[rows, finite.argmax(axis=1)]
    there = ~np.isnan(one.values)
    ends = there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)  # where each sequence begins
    far = one.values[rows, ends]
    return np.where(finite[rows, ends], far - np.where(finite.any(axis=1), start, 0.0), -np.inf)


def _fit(lag: Array, values: Array) -> Array:
    centred = lag - lag.mean()
    offsets = values - values[..., :1]  # a flat curve then has a slope of exactly zero
    return np.asarray(offsets @ centred / (centred @ centred))
