"""The search over one knob, on the measured rate.

The change in decades D(v) is followed from the configured value, towards more memory where error
vanishes and less where it explodes, until a value is steady; where D changes sign between two
values, they are bisected. If that way leads nowhere, the other is tried. The best of many values on
some seeds is better on these than on others: it is judged on seeds that the search has not seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gradflow.advice.knobs import Knob
from gradflow.core.quantity import Result
from gradflow.errors import NumericalError
from gradflow.experiment.config import PointConfig
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import Bundle, PlannedPoint
from gradflow.report.read.rates import STEADY, summarise

__all__ = ["Found", "Trial", "search", "trial", "turn"]

BISECTIONS = 8
"""Trials at most between two values."""


@dataclass(frozen=True)
class Trial:
    """One value and what was measured with it.

    Parameters
    ----------
    value : float
        Of the knob; NaN for the experiment as it is.
    decades : float
        Far end over loss end, the median; ∞ where the state overflows.
    results : tuple of Result
        One for each seed; none where the state overflows.
    agree : int
        Seeds that have the same verdict as the median.
    """

    value: float
    decades: float
    results: tuple[Result, ...]
    agree: int = 0

    @property
    def steady(self) -> bool:
        """Whether the far end is within one decade of the loss end."""
        return abs(self.decades) <= STEADY

    @property
    def order(self) -> tuple[bool, int, float]:
        """The better, the smaller: steady, with as many seeds as can be, and as close as can be."""
        return not self.steady, -self.agree if self.steady else 0, abs(self.decades)


@dataclass(frozen=True)
class Found:
    """The best value of one knob.

    Parameters
    ----------
    knob : Knob
        What was turned.
    best : Trial
        The best trial (see `Trial.order`).
    judged : Trial
        The same value on seeds that the search has not seen: what may be expected of others.
    tried : int
        Values measured by the search.
    """

    knob: Knob
    best: Trial
    judged: Trial
    tried: int

    @property
    def setting(self) -> str:
        """The change to make, as an override: ``init.recurrent_gain=1.15``."""
        return self.knob.setting(self.best.value)


def trial(config: PointConfig, value: float, seeds: Sequence[int]) -> Trial:
    """Measure a configuration, with a knob at a value."""
    points = (PlannedPoint(config.model_copy(update={"seed": seed})) for seed in seeds)
    try:
        found = measure(Bundle(tuple(points)))
    except NumericalError:
        return Trial(value, math.inf, ())
    results = tuple(one for one in found if not isinstance(one, NumericalError))
    if len(results) < len(found):
        return Trial(value, math.inf, ())
    lowest = summarise(results, "s")[0]
    return Trial(value, lowest.decades, results, lowest.agree)


def search(
    knob: Knob, config: PointConfig, seeds: Sequence[int], fresh: Sequence[int], before: Trial
) -> Found:
    """Turn a knob on some seeds, and judge the best value on others."""
    trials = turn(knob, config, seeds, before)
    best = min(trials, key=lambda one: one.order)
    judged = trial(knob.turn(config, best.value), best.value, fresh)
    return Found(knob, best, judged, len(trials))


def turn(knob: Knob, config: PointConfig, seeds: Sequence[int], before: Trial) -> list[Trial]:
    """Measure values of a knob until one is steady, or there are no more to try."""
    trials: list[Trial] = []

    def at(value: float) -> Trial:
        trials.append(trial(knob.turn(config, value), value, seeds))
        return trials[-1]

    start = Trial(knob.start, before.decades, ()) if knob.configured else at(knob.start)
    ways = [knob.more, knob.less]
    for way in ways if start.decades < 0 else reversed(ways):
        if any(trial.steady for trial in trials):
            break
        _follow(knob, at, start, way)
    return trials


def _follow(knob: Knob, at: Callable[[float], Trial], near: Trial, way: Sequence[float]) -> None:
    """Take one value after another until one is steady; bisect where D changes sign."""
    for value in way:
        far = at(value)
        if far.steady:
            return
        if (far.decades > 0) != (near.decades > 0):
            _bisect(knob, at, near, far)
            return
        near = far


def _bisect(knob: Knob, at: Callable[[float], Trial], a: Trial, b: Trial) -> None:
    for _ in range(BISECTIONS):
        value = knob.between(a.value, b.value)
        if value in (a.value, b.value):
            return
        middle = at(value)
        if middle.steady:
            return
        if (middle.decades > 0) == (a.decades > 0):
            a = middle
        else:
            b = middle
