"""What to change so that error survives: the knob and the value, found on the measured rate.

For the cell, length and loss of an experiment each knob that its cell has is searched: the
recurrent gain, the forget bias, the T_max of chrono biases. Wanted is a far end within one decade
of the loss end (`gradflow.report.rates.STEADY`), the median over seeds and sequences. The measured
change in decades D(v) is scanned over a grid of values, from little memory to much, until one is
steady; where D changes sign in between, it is bisected. It is a measurement, not a model: it holds
for this length, these inputs and this loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradflow.core.quantity import Result
from gradflow.errors import NumericalError, UserError
from gradflow.experiment.config import Experiment, PointConfig
from gradflow.experiment.config.fields import Chrono
from gradflow.experiment.measure import measure
from gradflow.experiment.plan import Bundle, Point, plan
from gradflow.report.rates import STEADY, summarise

__all__ = ["SEEDS", "Advice", "Knob", "Trial", "advise", "knobs"]

SEEDS = 5
"""Independent weights over which every trial is taken, unless the experiment sweeps seeds."""

BISECTIONS = 8
"""Trials at most after the grid."""


@dataclass(frozen=True)
class Knob:
    """Something to turn.

    Parameters
    ----------
    path : str
        The key of the experiment file.
    grid : tuple of float
        Values that are tried first, ascending.
    write : callable
        Spells a value as the file does.
    geometric : bool
        Whether to bisect by ratio.
    """

    path: str
    grid: tuple[float, ...]
    write: Callable[[float], Any]
    geometric: bool = False

    def between(self, a: float, b: float) -> float:
        """Return the middle of an interval."""
        return math.sqrt(a * b) if self.geometric else (a + b) / 2


@dataclass(frozen=True)
class Trial:
    """One value and what was measured with it.

    Parameters
    ----------
    value : float
        Of the knob.
    decades : float
        Far end over loss end, the median; ∞ where the state overflows.
    results : tuple of Result
        One for each seed.
    """

    value: float
    decades: float
    results: tuple[Result, ...]

    @property
    def steady(self) -> bool:
        """Whether the far end is within one decade of the loss end."""
        return abs(self.decades) <= STEADY


@dataclass(frozen=True)
class Advice:
    """The best value of one knob for one cell.

    Parameters
    ----------
    cell : str
        Its label.
    length : int
        The length it holds for.
    knob : Knob
        What was turned.
    before, best : Trial
        As configured (its value is NaN), and the best that was found.
    tried : int
        Values measured.
    """

    cell: str
    length: int
    knob: Knob
    before: Trial
    best: Trial
    tried: int

    @property
    def setting(self) -> str:
        """The change to make, as an override: ``init.recurrent_gain=1.15``."""
        return f"{self.knob.path}={self.knob.write(self.best.value)}"

    @property
    def needed(self) -> bool:
        """Whether the configuration as it is does not do already."""
        return not self.before.steady


def _chrono(t_max: float) -> str:
    return f"{{chrono: {round(t_max)}}}"


def _short(value: float) -> str:
    return f"{value:.3g}"


def knobs(config: PointConfig) -> list[Knob]:
    """Return what can be turned on the cell of a configuration."""
    cell = config.model.build_cell()
    roles = {p.role for p in cell.parameters(1).values()}
    found = []
    if "recurrent" in roles:
        gains = tuple(float(g) for g in np.geomspace(0.25, 8, 11))
        found.append(Knob("init.recurrent_gain", gains, _short, geometric=True))
    if "f" in cell.gates:
        biases = tuple(float(b) for b in range(-2, 11))
        found.append(Knob("init.forget_bias", biases, _short))
    if {"f", "z"} & set(cell.gates):
        top = max(4.0, 100.0 * config.length)
        times = tuple(float(round(t)) for t in np.geomspace(3, top, 9))
        found.append(Knob("init.forget_bias", times, _chrono, geometric=True))
    return found


def advise(experiment: Experiment) -> list[Advice]:
    """Search every knob of every cell of an experiment, at its greatest length.

    Returns
    -------
    list of Advice
        By cell; of each cell the knobs that end closest to steady first.

    Raises
    ------
    UserError
        If no cell has anything to turn, or its weights come from a file.
    """
    points = plan(experiment)
    longest = max(point.config.length for point in points)
    seeds = sorted({point.config.seed for point in points if point.config.length == longest})
    seeds = seeds if len(seeds) > 1 else list(range(seeds[0], seeds[0] + SEEDS))
    configs: dict[str, PointConfig] = {}
    for point in points:
        if point.config.length == longest:
            configs.setdefault(point.config.model.cell_label, point.config)
    if any(config.model.weights for config in configs.values()):
        raise UserError(
            "the weights of this experiment come from a file\n"
            "  expected: weights that are drawn, so that their gain and biases can be advised on\n"
            "  fix: remove `model.weights`"
        )
    advice = [one for config in configs.values() for one in _for_cell(config, seeds)]
    if not advice:
        raise UserError(f"{', '.join(configs)} has no gain and no bias that could be turned")
    return advice


def _for_cell(config: PointConfig, seeds: Sequence[int]) -> list[Advice]:
    config = config.model_copy(
        update={"record": config.record.model_copy(update={"states": ("s",), "every": 1})}
    )
    before = _trial(config, math.nan, seeds)
    found = []
    for knob in knobs(config):
        best, tried = _search(knob, config, seeds)
        label, length = config.model.cell_label, config.length
        found.append(Advice(label, length, knob, before, best, tried))
    return sorted(found, key=lambda one: abs(one.best.decades))


def _search(knob: Knob, config: PointConfig, seeds: Sequence[int]) -> tuple[Trial, int]:
    """Scan the grid until a value is steady or D changes sign between two; then bisect these."""

    def at(value: float) -> Trial:
        trials.append(_trial(_turned(config, knob, value), value, seeds))
        return trials[-1]

    trials: list[Trial] = []
    below = at(knob.grid[0])
    for value in knob.grid[1:]:
        if below.steady:
            break
        above = at(value)
        if np.sign(above.decades) == np.sign(below.decades):
            below = above
            continue
        for _ in range(BISECTIONS):
            if below.steady or above.steady:
                break
            middle = at(knob.between(below.value, above.value))
            if np.sign(middle.decades) == np.sign(below.decades):
                below = middle
            else:
                above = middle
        break
    return min(trials, key=lambda trial: abs(trial.decades)), len(trials)


def _turned(config: PointConfig, knob: Knob, value: float) -> PointConfig:
    name = knob.path.rpartition(".")[2]
    setting: Any = Chrono(chrono=max(2, round(value))) if knob.write is _chrono else value
    return config.model_copy(update={"init": config.init.model_copy(update={name: setting})})


def _trial(config: PointConfig, value: float, seeds: Sequence[int]) -> Trial:
    points = tuple(Point(config.model_copy(update={"seed": seed}), {}, "") for seed in seeds)
    try:
        results = tuple(measure(Bundle(points)))
    except NumericalError:
        return Trial(value, math.inf, ())
    lowest = summarise(results, "s")[0]
    return Trial(value, lowest.decades, results)
