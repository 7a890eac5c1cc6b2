"""The gate at work: find the baseline, run what is missing, condense, compare."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gradflow.core.quantity import Result
from gradflow.errors import GradflowError
from gradflow.experiment.config import AssertConfig, Experiment
from gradflow.experiment.measure.duration import pieces
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import bundle, plan
from gradflow.experiment.run import Finished, OnProgress, run
from gradflow.experiment.store.runs import RESULTS, Run
from gradflow.experiment.workers.executor import Executor, Failure, Outcome, Serial
from gradflow.experiment.workers.pool import Workers
from gradflow.gate.baseline import Change, baseline_path, merge, read_baseline, write_baseline
from gradflow.gate.cases import Case, judged_by_slope, measure_case, named_curves, prefix
from gradflow.gate.compare import Finding, Judgement, compare, idle, judge, ranked

__all__ = ["NOISE", "check", "make_baseline"]

NOISE = 1e-13
"""Relative noise on the inputs: about what two processors make of the same sum."""


@dataclass
class _Seen:
    """What one pass over a run's results leaves: no curve is kept."""

    cases: dict[str, Case] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    asserted: int = 0


def check(
    experiment: Experiment,
    *,
    out: Path = RESULTS,
    assert_only: bool = False,
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
    finished = _run(experiment, out, workers, on_progress)
    seen = _look(finished.run, experiment.check.asserts)
    findings = seen.findings
    if not assert_only:
        failed = tuple(prefix(failure.point) for failure in finished.failures)
        rest = {n: case for n, case in expected.items() if not n.startswith(failed)}
        findings = findings + compare(rest, seen.cases, experiment.check.tolerance)
    findings += [
        Finding(prefix(failure.point).strip(), "failed", failure.reason)
        for failure in finished.failures
    ]
    return Judgement(
        name=experiment.name,
        tolerance=experiment.check.tolerance,
        compared=tuple(sorted(expected.keys() & seen.cases.keys())),
        asserted=seen.asserted,
        findings=tuple(ranked(findings)),
        errors=finished.failures,
        changed=finished.changed,
    )


def make_baseline(
    experiment: Experiment,
    *,
    out: Path = RESULTS,
    workers: Workers = Serial,
    on_progress: OnProgress | None = None,
) -> tuple[Path, Change]:
    """Write the baseline of an experiment, and return where and what it changed.

    Every point is measured once more with `NOISE` on its inputs, which shows what is chaotic.

    Raises
    ------
    GradflowError
        If a point fails.
    """
    finished = _run(experiment, out, workers, on_progress)
    _refuse(finished.failures)
    cases = _look(finished.run, ()).cases
    probed = _probe(experiment, workers(functools.partial(measure, input_noise=NOISE)))
    tolerance = experiment.check.tolerance
    cases = {name: judged_by_slope(case, probed[name], tolerance) for name, case in cases.items()}
    path = baseline_path(experiment.name, out)
    old = read_baseline(path) if path.exists() else {}
    merged, change = merge(old, cases, tolerance)
    write_baseline(path, merged)
    return path, change


def _run(
    experiment: Experiment, out: Path, workers: Workers, on_progress: OnProgress | None
) -> Finished:
    return run(experiment, out=out, executor=workers(measure), on_progress=on_progress)


def _look(stored: Run, assertions: Sequence[AssertConfig]) -> _Seen:
    seen = _Seen()
    met = [0] * len(assertions)
    for point in stored.points:
        for one in named_curves(point, stored.result(point)):
            seen.cases[one.name] = measure_case(one.curves)
            for i, assertion in enumerate(assertions):
                found = judge(assertion, one)
                met[i] += found is not None
                seen.findings += found or []
    seen.findings += [idle(a) for a, count in zip(assertions, met, strict=True) if not count]
    seen.asserted = sum(met)
    return seen


def _probe(experiment: Experiment, executor: Executor[Result]) -> dict[str, Case]:
    """Measure all points anew by `executor`, and keep only their cases."""
    cases: dict[str, Case] = {}
    failures: list[Failure] = []

    def on_done(outcome: Outcome[Result]) -> None:
        failures.extend(outcome.failures)
        for planned, result in outcome.results:
            for one in named_curves(planned.point, result):
                cases[one.name] = measure_case(one.curves)

    executor.run(pieces(bundle(plan(experiment))), on_done)
    _refuse(failures)
    return cases


def _refuse(failures: Sequence[Failure]) -> None:
    if failures:
        first = failures[0]
        raise GradflowError(
            f"{len(failures)} points failed, so there is no baseline; the first:\n  {first.reason}"
        )
