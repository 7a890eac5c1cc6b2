"""Which cases are ill-conditioned, by how much their slopes differ by themselves, and what holds.

A twin of an experiment has relative noise of 1e-13 on its inputs and weights, a thousand times what
another processor makes of the same sums. Where that moves a case by more than a tenth of the
tolerance, two runs of the same code need not agree. Two such runs, started an ε apart, are e^{λk} ε
apart after k steps, so what is left to compare is

- the slope, over all steps: an average along the trajectory, which chaos leaves as it is, to the
  spread that several twins show;
- all values at the full tolerance, at a shorter length, at which the runs have not parted yet.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from gradflow.core.quantity import Result
from gradflow.errors import GradflowError
from gradflow.experiment.config import Experiment
from gradflow.experiment.measure.duration import pieces
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import PlannedPoint, bundle, plan
from gradflow.experiment.run import work
from gradflow.experiment.workers.executor import Failure, Outcome
from gradflow.experiment.workers.pool import Workers
from gradflow.gate.cases import VARIES, Case, Early, measure_case, rounded
from gradflow.gate.naming import named_curves, prefix

__all__ = ["conditioned", "measure_early", "probe", "refuse"]

NOISE = 1e-13
"""Relative noise of a twin: well above what two processors make of the same sum."""

SENSITIVE = 0.1
"""The part of the tolerance that noise may move a well-conditioned case by."""

TWINS = 12
"""Twins of an ill-conditioned case."""

SPREADS = 12.0
"""Standard deviations of its slope over the twins by which an ill-conditioned case may differ: two
draws from one normal distribution are farther apart twice in a million."""

ByPoint: TypeAlias = dict[str, dict[str, Case]]
"""Cases by the hash of their point, and by the rest of their name."""


def probe(
    experiment: Experiment,
    workers: Workers,
    only: Collection[str] | None = None,
    *,
    noise: float = 0.0,
    twin: int = 0,
) -> dict[str, Case]:
    """Measure all points, or those of some hashes, anew, and keep only their cases.

    Raises
    ------
    GradflowError
        If a point fails.
    """
    points = {one.hash: one for one in plan(experiment)}
    skip = set() if only is None else points.keys() - set(only)
    found, failures = _measured(plan(experiment), workers, noise=noise, twin=twin, skip=skip)
    refuse(failures)
    return {
        prefix(points[key].point) + rest: case
        for key, cases in found.items()
        for rest, case in cases.items()
    }


def conditioned(
    experiment: Experiment,
    cases: Mapping[str, Case],
    workers: Workers,
    tolerance: float,
    only: Collection[str] | None = None,
) -> dict[str, Case]:
    """Return cases as a baseline has them: the ill-conditioned ones with what they are judged by.

    Parameters
    ----------
    experiment : Experiment
        What they are of; its points are measured again, with noise.
    cases : mapping
        All of its cases, or those of the points whose hashes are in `only`.
    workers : callable
        Makes the executor.
    tolerance : float
        In decades.
    """
    first = probe(experiment, workers, only, noise=NOISE)
    unsure = {name: one for name, one in cases.items() if _moves(one, first[name], tolerance)}
    points = _points_of(unsure, experiment)
    again = {point.hash for point in points.values()}
    twins = [first] + [
        probe(experiment, workers, again, noise=NOISE, twin=twin)
        for twin in range(1, TWINS if unsure else 1)
    ]
    early = _choose_early(points, workers, tolerance)
    return dict(cases) | {
        name: replace(_judged_by_slope(case, [twin[name] for twin in twins], tolerance), early=e)
        for name, case in unsure.items()
        for e in [early.get(name)]
    }


def measure_early(
    experiment: Experiment, expected: Mapping[str, Case], workers: Workers
) -> tuple[dict[str, Early], list[Failure]]:
    """Measure what the ill-conditioned ones of the expected cases are at their shorter lengths."""
    wanted = {name: case.early.length for name, case in expected.items() if case.early}
    points = _points_of(wanted, experiment)
    short = {name: _shortened(points[name], wanted[name]) for name in points}
    found, failures = _measured(short.values(), workers)
    return {
        name: Early(wanted[name], found[point.hash][rest])
        for name, point in short.items()
        for rest in [name.removeprefix(prefix(points[name].point))]
        if rest in found.get(point.hash, {})
    }, failures


def refuse(failures: Sequence[Failure]) -> None:
    """Make no baseline where points failed."""
    if failures:
        raise GradflowError(
            f"{len(failures)} points failed, so there is no baseline; the first:\n"
            f"  {failures[0].reason}"
        )


def _judged_by_slope(case: Case, twins: Sequence[Case], tolerance: float) -> Case:
    """Let the slope differ by what it differs by among twins; no slope, if it is not always one."""
    each = [case, *twins]
    slopes = [one.slope for one in each if one.slope is not None]
    if len({one.kind for one in each}) > 1 or len(slopes) < len(each):
        return replace(case, kind=VARIES, slope=None, slack=tolerance)
    spread = float(np.std(slopes, ddof=1))
    return replace(case, slack=rounded(max(tolerance, SPREADS * spread)))


def _moves(case: Case, twin: Case, tolerance: float) -> bool:
    """Whether noise moves a case by more than it may."""
    if case.kind != twin.kind:
        return True
    pairs = [
        *zip(case.values, twin.values, strict=True),
        (case.low or 0.0, twin.low or 0.0),
        (case.high or 0.0, twin.high or 0.0),
    ]
    return any(a != b and not abs(a - b) <= SENSITIVE * tolerance for a, b in pairs)


def _choose_early(
    points: Mapping[str, PlannedPoint], workers: Workers, tolerance: float
) -> dict[str, Early]:
    """Halve the length of each case's point until it is not ill-conditioned."""
    each = {point.hash: list(_shorter(point)) for point in points.values()}
    short = [one for several in each.values() for one in several]
    found, _ = _measured(short, workers)
    twins, _ = _measured(short, workers, noise=NOISE)
    early = {}
    for name, point in points.items():
        rest = name.removeprefix(prefix(point.point))
        for one in each[point.hash]:
            case, twin = (seen.get(one.hash, {}).get(rest) for seen in (found, twins))
            if case and twin and not _moves(case, twin, tolerance):
                early[name] = Early(one.config.length, case)
                break
    return early


def _shorter(point: PlannedPoint) -> Iterator[PlannedPoint]:
    """Yield a point at half its length, at a quarter, and so on; none where the length is tied."""
    config = point.config
    if config.train is not None or not isinstance(config.loss.at, str):
        return
    length = config.length // 2
    while length >= max(1, config.inputs.task.shortest):
        yield _shortened(point, length)
        length //= 2


def _shortened(point: PlannedPoint, length: int) -> PlannedPoint:
    config = point.config.model_copy(update={"length": length})
    own = f" length={length}"
    return replace(point, config=config, hash=point.hash + own, group=point.group + own)


def _points_of(names: Iterable[str], experiment: Experiment) -> dict[str, PlannedPoint]:
    """Return the point of each case."""
    if not names:
        return {}
    points = {prefix(one.point): one for one in plan(experiment)}
    return {name: one for name in names for start, one in points.items() if name.startswith(start)}


def _measured(
    points: Iterable[PlannedPoint],
    workers: Workers,
    *,
    noise: float = 0.0,
    twin: int = 0,
    skip: Collection[str] = (),
) -> tuple[ByPoint, list[Failure]]:
    """Measure points but for those of some hashes, and keep only their cases."""
    found: ByPoint = {}
    failures: list[Failure] = []

    def on_done(outcome: Outcome[Result]) -> None:
        failures.extend(outcome.failures)
        for planned, result in outcome.results:
            start = prefix(planned.point)
            found[planned.hash] = {
                one.name.removeprefix(start): measure_case(one.curves)
                for one in named_curves(planned.point, result)
            }

    if todo := work(pieces(bundle(points)), skip):
        how = functools.partial(measure, noise=noise, twin=twin) if noise else measure
        workers(how).run(todo, on_done)
    return found, failures
