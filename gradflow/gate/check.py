"""The gate at work: find the baseline, run what is missing, condense, compare."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

from gradflow.errors import UserError
from gradflow.experiment.config import Experiment
from gradflow.experiment.config.text.mistakes import nearest
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import plan
from gradflow.experiment.run import Finished, OnProgress, in_memory, run
from gradflow.experiment.store.runs import RESULTS
from gradflow.experiment.workers.executor import Serial
from gradflow.experiment.workers.pool import Workers
from gradflow.gate.baseline import Change, baseline_path, merge, read_baseline, write_baseline
from gradflow.gate.cases import Case, cases_of
from gradflow.gate.compare import Judgement
from gradflow.gate.judging import assertions_of, judge_run
from gradflow.gate.naming import meets, possible_names
from gradflow.gate.twins import conditioned, measure_early, refuse
from gradflow.report.read.keys import news as news_of

__all__ = ["accept", "check", "make_baseline"]


def check(
    experiment: Experiment,
    *,
    out: Path = RESULTS,
    assert_only: bool = False,
    patterns: Collection[str] = (),
    workers: Workers = Serial,
    on_progress: OnProgress | None = None,
) -> Judgement:
    """Compare an experiment with its baseline and with what it asserts.

    Points that the code there is now has measured are not measured again.

    Parameters
    ----------
    experiment : Experiment
        What to check.
    out : Path
        Where runs are, and ``baselines/`` beside them.
    assert_only : bool
        Judge the assertions alone; they need no baseline.
    patterns : collection of str
        Judge the cases alone whose names meet one of these, and measure no other points.
    workers : callable
        Makes the executor for what is missing.
    on_progress : callable, optional
        As for `run`.

    Raises
    ------
    NoBaselineError
        If there is no baseline, before anything is measured.
    """
    expected = {} if assert_only else read_baseline(baseline_path(experiment.name, out))
    only = _points(experiment, lambda name: meets(name, patterns)) if patterns else None
    finished, told = _run_anywhere(experiment, out, workers, on_progress, only)
    points = [p for p in finished.run.points if only is None or p.hash in only]
    chosen = {name: case for name, case in expected.items() if meets(name, patterns)}
    early, failures = measure_early(experiment, chosen, workers)
    return judge_run(
        finished.run.part(points),
        None if assert_only else expected,
        experiment.check.tolerance,
        early=early,
        assertions=assertions_of(experiment.check.model_dump(by_alias=True)),
        patterns=patterns,
        failures=(*finished.failures, *failures),
        news=told,
    )


def make_baseline(
    experiment: Experiment,
    *,
    out: Path = RESULTS,
    names: Collection[str] = (),
    replace_all: bool = False,
    workers: Workers = Serial,
    on_progress: OnProgress | None = None,
) -> tuple[Path, Change]:
    """Write the baseline of an experiment, and return where and what it changed.

    Every point is measured once more with noise, which shows what is ill-conditioned (see
    `conditioned`). Of a baseline that is there, `names` are the only cases that are written, if any
    are given: as they are measured now, or no longer where they are not. One that shares no case
    with the experiment is another's, and is replaced with `replace_all` only.

    Raises
    ------
    GradflowError
        If a point fails.
    UserError
        If there is no case of a name, neither in the baseline nor in the experiment, or if the
        baseline is another experiment's.
    """
    path = baseline_path(experiment.name, out)
    old = read_baseline(path) if names or path.exists() else {}
    if old and not (names or replace_all):
        _refuse_another(path, old, experiment)
    only = _points(experiment, names.__contains__) if names else None
    finished = _run(experiment, out, workers, on_progress, only)
    refuse(finished.failures)
    points = [p for p in finished.run.points if only is None or p.hash in only]
    cases = cases_of(finished.run.part(points))
    for name in names:
        if name not in old and name not in cases:
            near = nearest(name, [*old, *cases])
            fix = f"\n  fix: did you mean {near!r}?" if near else ""
            raise UserError(f"neither baseline nor experiment has a case {name!r}{fix}")
    tolerance = experiment.check.tolerance
    cases = conditioned(experiment, cases, workers, tolerance, only)
    change = accept(path, cases, tolerance, names=names)
    return path, replace(change, news=news_of(finished))


def accept(
    path: Path,
    cases: Mapping[str, Case],
    tolerance: float,
    *,
    names: Collection[str] = (),
) -> Change:
    """Write cases into a baseline, all or those of some `names`, and return what that changed."""
    old = read_baseline(path) if path.exists() else {}
    chosen = {name: case for name, case in cases.items() if not names or name in names}
    touched = {name: case for name, case in old.items() if not names or name in names}
    merged, change = merge(touched, chosen, tolerance)
    rest = {name: case for name, case in old.items() if name not in touched}
    write_baseline(path, {**rest, **merged})
    return replace(change, kept=change.kept + len(rest), total=change.total + len(rest))


def _points(experiment: Experiment, wanted: Callable[[str], bool]) -> set[str]:
    """Return the hashes of the points that may have a case of a wanted name."""
    points = (one.point for one in plan(experiment))
    return {point.hash for point in points if any(map(wanted, possible_names(point)))}


def _refuse_another(path: Path, old: Mapping[str, Case], experiment: Experiment) -> None:
    """Keep the baseline of another experiment that has the same name."""
    if not _points(experiment, old.__contains__):
        raise UserError(
            f"{path} is the baseline of another experiment: this one has none of its {len(old)} "
            f"cases, such as {min(old)!r}\n"
            "  fix: give this one a name of its own (name=NEW), or replace the file with --force"
        )


def _run(
    experiment: Experiment,
    out: Path,
    workers: Workers,
    on_progress: OnProgress | None,
    only: Collection[str] | None,
) -> Finished:
    """Run what is missing. To sync its points takes longer than to measure them once more."""
    executor, told = workers(measure), on_progress
    return run(experiment, out=out, executor=executor, only=only, on_progress=told, synced=False)


def _run_anywhere(
    experiment: Experiment,
    out: Path,
    workers: Workers,
    on_progress: OnProgress | None,
    only: Collection[str] | None,
) -> tuple[Finished, tuple[str, ...]]:
    """Run what is missing, or all of it in memory where nothing can be written; and what to say."""
    try:
        finished = _run(experiment, out, workers, on_progress, only)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
    else:
        return finished, news_of(finished)
    executor = workers(measure)
    finished = in_memory(experiment, executor=executor, only=only, on_progress=on_progress)
    return finished, (f"nothing can be written into {out / experiment.name}: measured in memory",)
