"""What can be turned on a cell so that more of the error survives, and the search over one knob.

The change in decades D(v) is followed from the configured value, towards more memory where error
vanishes and less where it explodes, until a value is steady; where D changes sign between two
values, they are bisected. If that way leads nowhere, the other is tried. The best of many values on
some seeds is better on these than on others: it is judged on seeds that the search has not seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradflow.core.cells import MemoryGate
from gradflow.core.quantity import Result
from gradflow.errors import NumericalError
from gradflow.experiment.config import PointConfig
from gradflow.experiment.config.fields import ChronoConfig
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import Bundle, PlannedPoint
from gradflow.report.read.rates import STEADY, summarise

__all__ = ["Found", "Knob", "Trial", "knobs", "search", "trial", "turn"]

Name = Literal["recurrent gain", "forget bias", "update bias", "chrono T_max"]


@dataclass(frozen=True)
class Knob:
    """Something to turn.

    Parameters
    ----------
    name : str
        What it is.
    path : str
        The key of the experiment file.
    grid : tuple of float
        Values worth trying, from little memory to much.
    start : float
        Where the search begins: the configured value, or the best guess.
    configured : bool
        Whether `start` is what the configuration says.
    sign : {1, -1}
        Whether memory grows with the value, or falls.
    """

    name: Name
    path: str
    grid: tuple[float, ...]
    start: float
    configured: bool = True
    sign: Literal[1, -1] = 1

    @property
    def more(self) -> list[float]:
        """Values for more memory than at the start, the nearest first."""
        return [v for v in self.grid if self.sign * (v - self.start) > 0]

    @property
    def less(self) -> list[float]:
        """Values for less memory, the nearest first."""
        return [v for v in self.grid if self.sign * (v - self.start) < 0][::-1]

    def between(self, a: float, b: float) -> float:
        """Return the middle of an interval, to as many digits as are worth writing."""
        if self.name == "chrono T_max":
            return float(round(math.sqrt(a * b)))
        if self.name == "recurrent gain" and a > 0 < b:
            return _short(math.sqrt(a * b))
        return _short((a + b) / 2)

    def setting(self, value: float) -> str:
        """Write the change as an override: ``init.recurrent_gain=1.15``."""
        return f"{self.path}={value:g}"

    def turn(self, config: PointConfig, value: float) -> PointConfig:
        """Return the configuration with the knob at a value."""
        init = config.init
        if self.name == "recurrent gain":
            init = init.model_copy(update={"recurrent_gain": value})
        elif self.name == "chrono T_max":
            init = init.model_copy(update={"forget_bias": ChronoConfig(chrono=round(value))})
        elif self.path == "init.forget_bias":
            init = init.model_copy(update={"forget_bias": value})
        else:
            gate = self.path.rpartition(".")[2]
            init = init.model_copy(update={"bias": {**init.bias, gate: value}})
        return config.model_copy(update={"init": init})


def knobs(config: PointConfig) -> list[Knob]:
    """Return what can be turned on the cell of a configuration."""
    cell, init = config.model.build_cells()[0], config.init
    parameters = cell.parameters(1)
    found = []
    if any(p.role == "recurrent" for p in parameters.values()):
        gains = tuple(_short(g) for g in np.geomspace(0.25, 32, 15))
        found.append(Knob("recurrent gain", "init.recurrent_gain", gains, init.recurrent_gain))
    biased = parameters["b"].blocks if "b" in parameters else ()
    memory = [gate for gate in cell.memory_gates if gate.gate in biased]
    found += {knob.path: knob for knob in (_bias(config, gate) for gate in memory)}.values()
    if {gate.gate for gate in memory} - set(init.bias):  # a bias by gate stands above chrono's
        found.append(_chrono(config))
    return found


def _bias(config: PointConfig, memory: MemoryGate) -> Knob:
    """Of a gate that keeps when open the forget bias, unless its own bias stands above that."""
    init, (gate, sign, _) = config.init, memory
    name: Name = "forget bias" if sign > 0 else "update bias"
    biases = tuple(float(sign * b) for b in range(-2, 11))
    if gate in init.bias:
        now = float(np.mean(init.bias[gate]))  # of units with biases of their own
        return Knob(name, f"init.bias.{gate}", biases, now, sign=sign)
    chrono = isinstance(init.forget_bias, ChronoConfig)
    if sign < 0:
        return Knob(name, f"init.bias.{gate}", biases, 0.0, not chrono, sign)
    if isinstance(init.forget_bias, ChronoConfig):
        return Knob(name, "init.forget_bias", biases, 1.0, configured=False)
    return Knob(name, "init.forget_bias", biases, init.forget_bias or 0.0)


def _chrono(config: PointConfig) -> Knob:
    """Begin with a longest memory of the sequence's length: (1 − 1/T)^T is about 1/e."""
    now, top = config.init.forget_bias, max(4.0, 100.0 * config.length)
    times = tuple(sorted({float(round(t)) for t in np.geomspace(3, min(top, 1e9), 9)}))
    path = "init.forget_bias.chrono"
    if isinstance(now, ChronoConfig):
        return Knob("chrono T_max", path, times, float(now.chrono))
    return Knob("chrono T_max", path, times, max(3.0, float(config.length)), configured=False)


def _short(value: float) -> float:
    return float(f"{value:.3g}")


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
