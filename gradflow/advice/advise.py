"""What to change so that error survives: the knob and the value, found on the measured rate.

Wanted is a far end within one decade of the loss end (`gradflow.report.read.rates.STEADY`) for the
cell, length and loss of an experiment; the median over seeds and sequences, at the lowest layer.
Each knob of the cell is turned alone (`gradflow.advice.search`) on the experiment's seeds, and its
best value judged on as many fresh ones (`gradflow.advice.search`).
It is a measurement, not a model: it holds for this length, these inputs and this loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gradflow.advice.search import Found, Trial, knobs, search, trial
from gradflow.errors import GradflowError, UserError
from gradflow.experiment.config import Experiment, PointConfig
from gradflow.experiment.config.sections import RecordConfig
from gradflow.experiment.measure.plan import Bundle, PlannedPoint, plan
from gradflow.experiment.workers.executor import Outcome, Serial
from gradflow.experiment.workers.pool import Workers

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
    seeds, fresh : tuple of int
        Over which the medians are: of the search, and of the judgement.
    before : Trial
        The configuration as it is, on `seeds`.
    found : tuple of Found
        What each knob can do, the best on fresh seeds first (see
        `gradflow.advice.search.Trial.order`); empty where nothing has to change, or there is
        nothing to turn.
    """

    config: PointConfig
    seeds: tuple[int, ...]
    fresh: tuple[int, ...]
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
            if abs(one.judged.decades) < abs(self.before.decades):
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
    bundles, seeds = _cells(experiment)
    if any(bundle.points[0].config.model.weights for bundle in bundles):
        raise UserError(
            "the weights of this experiment come from a file\n"
            "  expected: weights that are drawn, so that their gain and biases can be advised on\n"
            "  fix: remove `model.weights`"
        )
    advice: dict[str, Advice] = {}

    def on_done(outcome: Outcome[Advice]) -> None:
        for failure in outcome.failures:
            raise (UserError if failure.exit_code == UserError.exit_code else GradflowError)(
                failure.reason
            )
        advice.update((found.cell, found) for _, found in outcome.results)
        if on_cell is not None:
            on_cell(len(advice), len(bundles))

    workers(partial(_advise, seeds=seeds)).run(bundles, on_done)
    return [advice[bundle.points[0].config.model.cell_label] for bundle in bundles]


def _cells(experiment: Experiment) -> tuple[list[Bundle], tuple[int, ...]]:
    """Each cell at the greatest length and the first value of all else, and the seeds."""
    points = plan(experiment)
    longest = max(point.config.length for point in points)
    configs: dict[str, PointConfig] = {}
    for point in points:
        if point.config.length == longest:
            configs.setdefault(point.config.model.cell_label, point.config)
    seeds = sorted({point.config.seed for point in points})
    seeds = seeds if len(seeds) > 1 else list(range(seeds[0], seeds[0] + SEEDS))
    record = RecordConfig(states=("s",))
    cells = (config.model_copy(update={"record": record}) for config in configs.values())
    return [Bundle((PlannedPoint(cell),)) for cell in cells], tuple(seeds)


def _advise(bundle: Bundle, seeds: tuple[int, ...]) -> list[Advice]:
    """Search the knobs of the one cell of a bundle."""
    (point,) = bundle.points
    fresh = tuple(range(max(seeds) + 1, max(seeds) + 1 + len(seeds)))
    before = trial(point.config, math.nan, seeds)
    turned = () if before.steady else knobs(point.config)
    found = [search(knob, point.config, seeds, fresh, before) for knob in turned]
    found.sort(key=lambda one: one.judged.order)
    return [Advice(point.config, seeds, fresh, before, tuple(found))]
