"""The regression gate: which curves differ from the baseline by more than the tolerance.

All differences are in decades. Both directions fail: *vanishing* where a norm is smaller than it
was, *exploding* where it is larger. A change of class, a case that is missing and one that is new
fail by themselves. An ill-conditioned case is judged by its slope, and by its values at a shorter
length (see `gradflow.gate.twins`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from gradflow.gate.cases import VARIES, Case
from gradflow.gate.naming import NamedCurve
from gradflow.report.read.rates import slopes

if TYPE_CHECKING:
    from gradflow.experiment.workers.executor import Failure

__all__ = ["Assertion", "Finding", "FindingKind", "Judgement", "compare", "idle", "judge", "ranked"]

FindingKind: TypeAlias = Literal[
    "vanishing", "exploding", "class", "missing", "new", "failed", "invariant"
]


@dataclass(frozen=True)
class Assertion:
    """A fact that holds without a baseline, as the file's ``check.assert`` says it."""

    cell: str | None
    state: str
    flat: float | None
    slope: tuple[float, float] | None


@dataclass(frozen=True)
class Finding:
    """A case that does not pass, and the worst of its differences.

    Parameters
    ----------
    case : str
        Which curve.
    kind : str
        What is wrong with it.
    reason : str
        A sentence with both values.
    difference : float
        Measured minus expected in decades; infinite where there is no number to it.
    lag : int or None
        Where, if it is at one lag.
    expected, measured : float or None
        The two values.
    """

    case: str
    kind: FindingKind
    reason: str
    difference: float = math.inf
    lag: int | None = None
    expected: float | None = None
    measured: float | None = None


@dataclass(frozen=True)
class Judgement:
    """What the gate says; `findings` has the worst first.

    Parameters
    ----------
    name : str
        The experiment's.
    tolerance : float
        In decades.
    compared : tuple of str
        The curves that were compared with the baseline.
    asserted : int
        How many curves an assertion was about.
    findings : tuple of Finding
        Empty if all is well.
    errors : tuple of Failure
        Points that could not be measured.
    news : tuple of str
        What is not as it was when the experiment was run last, in sentences.
    expected, measured : mapping
        The cases of the baseline that were judged, and those that there are now, by name.
    """

    name: str
    tolerance: float
    compared: tuple[str, ...]
    asserted: int
    findings: tuple[Finding, ...]
    errors: tuple[Failure, ...] = ()
    news: tuple[str, ...] = ()
    expected: Mapping[str, Case] = field(default_factory=dict, repr=False)
    measured: Mapping[str, Case] = field(default_factory=dict, repr=False)

    @property
    def exit_code(self) -> int:
        """0 fine, 1 a regression, 3 a point failed, 4 nothing was compared."""
        if any(not failure.numerical for failure in self.errors):
            return 3
        if self.findings:
            return 1
        return 0 if self.compared or self.asserted else 4

    @property
    def passed(self) -> bool:
        """Whether something was compared, and nothing differs."""
        return self.exit_code == 0


def compare(
    expected: Mapping[str, Case], measured: Mapping[str, Case], tolerance: float
) -> list[Finding]:
    """Compare all cases; one finding for each that does not pass."""
    findings = [
        Finding(name, "missing", "the baseline has it, the experiment does not")
        for name in expected.keys() - measured.keys()
    ]
    findings += [
        Finding(name, "new", "the experiment has it, the baseline does not")
        for name in measured.keys() - expected.keys()
    ]
    for name in expected.keys() & measured.keys():
        finding = compare_case(name, expected[name], measured[name], tolerance)
        findings += [finding] if finding else []
    return ranked(findings)


def ranked(findings: Sequence[Finding]) -> list[Finding]:
    """Put the worst first: changes of class, then by size, then what is missing or new."""
    late = ("missing", "new")
    return sorted(findings, key=lambda f: (f.kind in late, -abs(f.difference), f.case))


def compare_case(name: str, expected: Case, measured: Case, tolerance: float) -> Finding | None:
    """Return the worst difference of one case if it is beyond the tolerance."""
    if measured == expected and expected.kind == "finite":
        return None
    if expected.kind not in (measured.kind, VARIES):
        reason = f"the norms are now {measured.kind}, in the baseline {expected.kind}"
        return Finding(name, "class", reason)
    if expected.lags != measured.lags:
        reason = (
            f"recorded at {len(measured.lags)} golden lags up to {measured.lags[-1]},"
            f" in the baseline at {len(expected.lags)} up to {expected.lags[-1]}"
        )
        return Finding(name, "class", reason)
    early = _at_shorter_length(name, expected, measured, tolerance)
    if early or expected.kind == VARIES:
        return early
    limit = tolerance if expected.slack is None else expected.slack
    other = [one for one in _differences(name, expected, measured) if one.kind == "class"]
    if other:
        return other[0]
    found = [one for one in _differences(name, expected, measured) if abs(one.difference) > limit]
    at_lags = [one for one in found if one.lag is not None]
    worst = max(at_lags or found, key=lambda one: abs(one.difference), default=None)
    if worst is None or not at_lags or at_lags[0] is worst:
        return worst
    return replace(worst, reason=f"{worst.reason}; beyond the tolerance from lag {at_lags[0].lag}")


def _at_shorter_length(
    name: str, expected: Case, measured: Case, tolerance: float
) -> Finding | None:
    """Compare what an ill-conditioned case is at a length at which it is not."""
    then, now = expected.early, measured.early
    if then is None:
        return None
    if now is None or now.length != then.length:
        reason = f"ill-conditioned: compared at length {then.length}, which was not measured"
        return Finding(name, "class", reason)
    found = compare_case(name, then.case, now.case, tolerance)
    return found and replace(found, reason=f"at length {then.length}: {found.reason}")


def judge(assertion: Assertion, one: NamedCurve) -> list[Finding] | None:
    """Return what an assertion finds wrong with a curve; None if it is about others.

    Assertions are about the top layer: what arrives in a lower one has come through the layers
    above at every step, and its sum says nothing of the cell's own recurrence.
    """
    if (
        not one.top
        or one.state != assertion.state
        or assertion.cell not in (None, one.cell, one.kind)
    ):
        return None
    return list(_broken(assertion, one))


def idle(assertion: Assertion) -> Finding:
    """Return the finding that an assertion has met no curve: it guards nothing."""
    case = f"{assertion.cell or 'all cells'} {assertion.state}"
    return Finding(case, "invariant", "an assertion is about it, but no such curve was recorded")


def _differences(name: str, expected: Case, measured: Case) -> Iterator[Finding]:
    if expected.slack is None:
        for lag, a, b in zip(expected.lags, expected.values, measured.values, strict=True):
            yield _difference(name, f"at lag {lag}", a, b, lag=lag)
        yield _difference(name, "the smallest norm", expected.low, measured.low)
        yield _difference(name, "the largest norm", expected.high, measured.high)
        weight, unit = expected.span, ""
    else:
        weight, unit = 1, " (ill-conditioned: judged by its slope)"
    words = f"the slope over {expected.span} steps{unit}"
    yield _difference(name, words, expected.slope, measured.slope, weight=weight)


def _difference(
    name: str,
    where: str,
    a: float | None,
    b: float | None,
    *,
    lag: int | None = None,
    weight: int = 1,
) -> Finding:
    """Compare two numbers; a class of its own is what is no number, not finite, or not there."""
    same = _class(a) == _class(b)
    finite = _class(a) == "finite"
    difference = ((b or 0.0) - (a or 0.0)) * weight if finite else 0.0
    return Finding(
        case=name,
        kind="class" if not same else "vanishing" if difference < 0 else "exploding",
        reason=f"{where}: {a} in the baseline, {b} now",
        difference=difference if same else math.inf,
        lag=lag,
        expected=a,
        measured=b,
    )


def _class(number: float | None) -> str:
    return "none" if number is None else "finite" if math.isfinite(number) else str(number)


def _broken(assertion: Assertion, one: NamedCurve) -> Iterator[Finding]:
    values = one.curves.values
    if assertion.flat is not None:
        drift = np.ptp(values, axis=1).max() if np.isfinite(values).all() else math.inf
        if not drift <= assertion.flat:
            reason = f"flat to {assertion.flat:g} decades was asserted, it varies by {drift:.6g}"
            yield Finding(one.name, "invariant", reason, float(drift))
    if assertion.slope is not None:
        low, high = assertion.slope
        fits = slopes(one.curves.lag, values)
        slope = float(np.mean(fits)) if fits.size else math.nan
        if not low <= slope <= high:
            reason = f"a slope from {low:g} to {high:g} was asserted, it is {slope:.6g}"
            difference = slope - (low if slope < low else high)
            yield Finding(one.name, "invariant", reason, difference, measured=slope)
