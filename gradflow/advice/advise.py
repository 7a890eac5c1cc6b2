"""What to change so that error survives: the knob and the value, found on the measured rate.

Wanted is a far end within one decade of the loss end (`gradflow.report.read.rates.STEADY`) for the
cell, length and loss of an experiment; the median over seeds and sequences, at the lowest layer.
Each knob of the cell is turned alone (`gradflow.advice.knobs`, `gradflow.advice.search`).
It is a measurement, not a model: it holds for this length, these inputs and this loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from gradflow.advice.knobs import knobs
from gradflow.advice.search import Found, Trial, seeded, trial, turn
from gradflow.core.quantity import Quantity, Result
from gradflow.errors import GradflowError, UserError
from gradflow.experiment.config import Experiment, PointConfig
from gradflow.experiment.config.models import RecordConfig
from gradflow.experiment.measure.plan import Bundle, plan
from gradflow.experiment.workers.choice import Workers
from gradflow.experiment.workers.executor import Outcome, Serial

__all__ = ["SEEDS", "Advice", "Found", "Trial", "advise"]

SEEDS = 5
"""Independent weights over which every trial is taken, unless the experiment sweeps seeds."""

OnCell = Callable[[int, int], None]
"""Is told how many cells are done, of how many."""


@dataclass(frozen=True)
class Advice:
    """What to change on one cell.

    Parameters
    ----------
    config : PointConfig
        The cell's configuration as it is; its seed is one of `seeds`.
    seeds : tuple of int
        Over which the medians are.
    before : Trial
        The configuration as it is.
    found : tuple of Found
        What each knob can do, the best first (see `gradflow.advice.search.Trial.order`); empty
        where nothing has to change, or there is nothing to turn.
    """

    config: PointConfig
    seeds: tuple[int, ...]
    before: Trial
    found: tuple[Found, ...]

    @property
    def cell(self) -> str:
        """The cell's label."""
        return self.config.model.cell_label

    @property
    def length(self) -> int:
        """The length it holds for."""
        return self.config.length

    @property
    def best(self) -> Found | None:
        """The knob to turn; None where nothing has to change, or nothing helps."""
        for one in self.found[:1]:
            if abs(one.best.decades) < abs(self.before.decades):
                return one
        return None


def advise(
    experiment: Experiment, *, workers: Workers = Serial, on_cell: OnCell | None = None
) -> list[Advice]:
    """Search every knob of every cell of an experiment, at its greatest length.

    All other axes but seeds are taken at their first value.

    Parameters
    ----------
    experiment : Experiment
        What is to be steady.
    workers : Workers
        What searches the cells: one is searched by one worker.
    on_cell : callable, optional
        Is told about progress.

    Returns
    -------
    list of Advice
        By cell, in the order of the sweep.

    Raises
    ------
    UserError
        If its weights come from a file, or it cannot be measured as it is.
    """
    bundles = _cells(experiment)
    if any(bundle.points[0].config.model.weights for bundle in bundles):
        raise UserError(
            "the weights of this experiment come from a file\n"
            "  expected: weights that are drawn, so that their gain and biases can be advised on\n"
            "  fix: remove `model.weights`"
        )
    advice: dict[str, Advice] = {}

    def on_done(outcome: Outcome) -> None:
        for failure in outcome.failures:
            raise (UserError if failure.exit_code == UserError.exit_code else GradflowError)(
                failure.reason
            )
        for _, result in outcome.results:
            if isinstance(result, _Searched):
                advice[result.advice.cell] = result.advice
        if on_cell is not None:
            on_cell(len(advice), len(bundles))

    workers(_search).run(bundles, on_done)
    return [advice[bundle.points[0].config.model.cell_label] for bundle in bundles]


def _cells(experiment: Experiment) -> list[Bundle]:
    """Each cell at the greatest length and the first value of all else, over its seeds."""
    points = plan(experiment)
    longest = max(point.config.length for point in points)
    configs: dict[str, PointConfig] = {}
    for point in points:
        if point.config.length == longest:
            configs.setdefault(point.config.model.cell_label, point.config)
    seeds = sorted({point.config.seed for point in points})
    seeds = seeds if len(seeds) > 1 else list(range(seeds[0], seeds[0] + SEEDS))
    record = RecordConfig(states=("s",))
    return [
        seeded(config.model_copy(update={"record": record}), seeds) for config in configs.values()
    ]


class _Searched(dict[str, Quantity]):
    """What a search hands back in place of each point's norms, so that any executor carries it."""

    def __init__(self, advice: Advice) -> None:
        super().__init__()
        self.advice = advice


def _search(bundle: Bundle) -> list[Result]:
    """Search the knobs of a bundle's cell."""
    config, seeds = bundle.points[0].config, bundle.seeds
    before = trial(config, math.nan, seeds)
    found = []
    if not before.steady:
        for knob in knobs(config):
            trials = turn(knob, config, seeds, before)
            best = min(trials, key=lambda one: one.order)
            found.append(Found(knob, best, len(trials)))
    found.sort(key=lambda one: one.best.order)
    result = _Searched(Advice(config, seeds, before, tuple(found)))
    return [result for _ in bundle.points]
