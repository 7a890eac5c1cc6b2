"""What the gate says of results that are there: no more is read here than a run's folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradflow.errors import NoBaselineError
from gradflow.experiment.store.current import Unchanged
from gradflow.experiment.store.runs import Run
from gradflow.gate.baseline import baseline_path, read_baseline
from gradflow.gate.cases import Case, Early, measure_case
from gradflow.gate.compare import Assertion, Finding, Judgement, compare, idle, judge, ranked
from gradflow.gate.naming import meets, named_curves, possible_names, prefix

if TYPE_CHECKING:
    from gradflow.experiment.workers.executor import Failure

__all__ = ["assertions_of", "judge_run", "judge_unchanged"]


@dataclass
class _Seen:
    """What one pass over a run's results leaves: no curve is kept."""

    cases: dict[str, Case] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    asserted: int = 0


def judge_unchanged(
    found: Unchanged, out: Path, *, assert_only: bool = False, patterns: Collection[str] = ()
) -> Judgement | None:
    """Judge a run that holds all that was asked for; see `gradflow.gate.check.check`.

    None where there is no baseline, or where what it expects takes measuring: the shorter lengths
    of ill-conditioned cases are no points of the run.
    """
    run, check = found.run, found.asked.check
    try:
        expected = None if assert_only else read_baseline(baseline_path(run.name, out))
    except NoBaselineError:
        return None
    if any(case.early and meets(name, patterns) for name, case in (expected or {}).items()):
        return None
    points = (p for p in run.points if any(meets(n, patterns) for n in possible_names(p)))
    return judge_run(
        run.part(points),
        expected,
        check["tolerance"],
        assertions=assertions_of(check),
        patterns=patterns,
    )


def judge_run(
    stored: Run,
    expected: Mapping[str, Case] | None,
    tolerance: float,
    *,
    early: Mapping[str, Early] | None = None,
    assertions: Sequence[Assertion] = (),
    patterns: Collection[str] = (),
    failures: Sequence[Failure] = (),
    news: tuple[str, ...] = (),
) -> Judgement:
    """Compare results, stored or in memory, with the expected cases, and with what is asserted.

    Parameters
    ----------
    stored : Run
        What was measured.
    expected : mapping or None
        The cases of a baseline; None where assertions alone are judged.
    tolerance : float
        In decades.
    early : mapping, optional
        What `gradflow.gate.twins.measure_early` has found.
    assertions, patterns, failures, news
        See `gradflow.gate.check.check` and `Judgement`.
    """
    seen = _look(stored, assertions, patterns)
    for name, one in (early or {}).items():
        if name in seen.cases:
            seen.cases[name] = replace(seen.cases[name], early=one)
    chosen = {name: case for name, case in (expected or {}).items() if meets(name, patterns)}
    findings = seen.findings
    if expected is not None:
        failed = tuple(prefix(failure.point) for failure in failures)
        rest = {name: case for name, case in chosen.items() if not name.startswith(failed)}
        findings = findings + compare(rest, seen.cases, tolerance)
    findings += [
        Finding(prefix(failure.point).strip(), "failed", failure.reason) for failure in failures
    ]
    return Judgement(
        name=stored.name,
        tolerance=tolerance,
        compared=tuple(sorted(chosen.keys() & seen.cases.keys())),
        asserted=seen.asserted,
        findings=tuple(ranked(findings)),
        errors=tuple(failures),
        news=news,
        expected=chosen,
        measured=seen.cases,
    )


def assertions_of(check: Mapping[str, Any]) -> tuple[Assertion, ...]:
    """Return what the section ``check`` of an experiment asserts."""
    return tuple(Assertion(**one) for one in check["assert"])


def _look(stored: Run, assertions: Sequence[Assertion], patterns: Collection[str] = ()) -> _Seen:
    seen = _Seen()
    met = [0] * len(assertions)
    for point in stored.points:
        for one in named_curves(point, stored.result(point)):
            if not meets(one.name, patterns):
                continue
            seen.cases[one.name] = measure_case(one.curves)
            for i, assertion in enumerate(assertions):
                found = judge(assertion, one)
                met[i] += found is not None
                seen.findings += found or []
    if not patterns:
        seen.findings += [idle(a) for a, count in zip(assertions, met, strict=True) if not count]
    seen.asserted = sum(met)
    return seen
