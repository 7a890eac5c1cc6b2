"""The gate on curves whose numbers are known; nothing is measured here."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from gradflow.errors import NoBaselineError, UserError
from gradflow.experiment.workers.executor import Failure
from gradflow.gate import twins
from gradflow.gate.baseline import examine_baselines, merge, read_baseline, write_baseline
from gradflow.gate.cases import VARIES, Case, Early, measure_case
from gradflow.gate.compare import Assertion, Finding, Judgement, compare, idle, judge
from gradflow.gate.formats import FORMATS, accepted, write_verdict
from gradflow.gate.naming import NamedCurve, named_curves
from gradflow.report.format import one_of
from gradflow.report.read.records import curves
from tests.report.fakes import Run, line
from tests.report.fakes import series as norms

TOLERANCE = 1e-6
NAME = "rnn length=100 seed=0 s"


def a_case(quantity: Any = None) -> Case:
    (one,) = curves(line(-0.1, 100) if quantity is None else quantity)
    return measure_case(one)


def moved(by: float) -> Case:
    """The usual case, but moved at lag 100 by some decades."""
    quantity = line(-0.1, 100)
    quantity.values[..., 0] += by
    return a_case(quantity)


def only(expected: Case, measured: Case, tolerance: float = TOLERANCE) -> Finding | None:
    found = compare({NAME: expected}, {NAME: measured}, tolerance)
    assert len(found) <= 1
    return found[0] if found else None


def test_a_case_is_a_few_golden_values() -> None:
    case = a_case()
    assert case.lags[0] == 0
    assert case.lags[-1] == 100
    assert case.lags == (0, 1, 2, 3, 4, 5, 7, 10, 14, 19, 27, 37, 52, 72, 100)
    np.testing.assert_allclose(case.values, -0.1 * np.array(case.lags), rtol=1e-12)
    assert case.slope == pytest.approx(-0.1, rel=1e-12)
    assert (case.low, case.high, case.kind) == (-10.0, 0.0, "finite")


@pytest.mark.parametrize("length", [0, 1, 2, 7, 1000])
def test_golden_lags_fit_any_length(length: int) -> None:
    case = a_case(line(-0.1, length))
    assert case.span == max(1, length)
    assert case.lags[0] == 0
    assert case.lags[-1] == length
    assert sorted(set(case.lags)) == list(case.lags)


@pytest.mark.parametrize("sequences", [1, 9, 300])
def test_golden_values_are_means_of_sequences_to_the_last_bit(sequences: int) -> None:
    values = np.random.default_rng(sequences).standard_normal((sequences, 40))
    quantity = line(-0.1, 39, sequences=sequences)
    quantity.values[0, 0] = values
    case = a_case(quantity)
    columns = quantity.values[0, 0, :, [39 - lag for lag in case.lags]]
    assert list(case.values) == [round(float(column.mean()), 12) for column in columns]


def test_equal_cases_pass() -> None:
    assert only(a_case(), a_case()) is None


@pytest.mark.parametrize(("by", "kind"), [(-1.1e-6, "vanishing"), (1.1e-6, "exploding")])
def test_both_directions_fail(by: float, kind: str) -> None:
    found = only(a_case(), moved(by))
    assert found is not None
    assert (found.kind, found.lag) == (kind, 100)
    assert found.difference == pytest.approx(by, rel=1e-4)
    assert found.expected == -10.0
    assert found.measured == pytest.approx(-10.0 + by)
    assert "at lag 100: -10.0 in the baseline" in found.reason


def test_what_lies_within_the_tolerance_passes() -> None:
    assert only(a_case(), moved(0.9e-6)) is None
    assert only(a_case(), moved(0.01), tolerance=0.1) is None


def test_what_noise_moves_by_more_than_a_tenth_of_the_tolerance_is_ill_conditioned() -> None:
    for by, moves in ((0.09, False), (-0.09, False), (0.11, True), (-0.11, True)):
        assert twins._moves(a_case(), moved(by * TOLERANCE), TOLERANCE) is moves


def test_twins_say_what_a_case_is_judged_by() -> None:
    """By a slope that may differ by what it differs by among twins, or by none."""
    case, zeros = a_case(), a_case(norms(np.full((1, 1, 2, 101), -np.inf)))
    assert case.slope is not None
    others = [replace(case, slope=case.slope + by) for by in (0.001, -0.001)]
    judged = twins._judged_by_slope(case, others, TOLERANCE)
    assert judged.slack == pytest.approx(12.0 * 0.001, rel=1e-6)
    assert twins._judged_by_slope(case, [case], TOLERANCE).slack == TOLERANCE
    assert twins._moves(case, zeros, TOLERANCE)
    none = twins._judged_by_slope(case, [zeros], TOLERANCE)
    assert (none.kind, none.slope, none.slack) == (VARIES, None, TOLERANCE)


def test_one_sequence_among_many_is_enough() -> None:
    quantity = line(-0.1, 100, sequences=16)
    quantity.values[0, 0, 5, 0] *= 1 + 1e-4 / 10 * math.log10(math.e) * 10
    assert only(a_case(line(-0.1, 100, sequences=16)), a_case(quantity)) is not None


def test_a_change_between_golden_lags_moves_the_slope_or_an_extreme() -> None:
    case = a_case()
    between = next(lag for lag in range(1, 100) if lag not in case.lags)
    quantity = line(-0.1, 100)
    quantity.values[..., 100 - between] += 1.0
    found = only(case, a_case(quantity))
    assert found is not None
    assert found.lag is None
    assert "slope" in found.reason or "norm" in found.reason


def test_the_first_lag_beyond_the_tolerance_is_told_beside_the_worst() -> None:
    quantity = line(-0.1, 100)
    quantity.values[..., 99 - 9] += 2e-6  # at lag 10
    quantity.values[..., 0] += 5e-6
    found = only(a_case(), a_case(quantity))
    assert found is not None
    assert (found.lag, found.difference) == (100, pytest.approx(5e-6, rel=1e-6))
    assert found.reason.endswith("; beyond the tolerance from lag 10")
    alone = only(a_case(), moved(5e-6))
    assert alone is not None
    assert "beyond" not in alone.reason


def test_a_slope_counts_over_all_of_its_steps() -> None:
    case = a_case()
    assert case.slope is not None
    assert only(case, replace(case, slope=case.slope + 0.9 * TOLERANCE / 100)) is None
    found = only(case, replace(case, slope=case.slope + 1.1 * TOLERANCE / 100))
    assert found is not None
    assert found.difference == pytest.approx(1.1 * TOLERANCE, rel=1e-4)


@pytest.mark.parametrize("value", [-math.inf, math.nan])
def test_a_change_of_class_fails_by_itself(value: float) -> None:
    quantity = line(-0.1, 100)
    quantity.values[0, 0, 0, 3] = value
    for expected, measured in [(a_case(), a_case(quantity)), (a_case(quantity), a_case())]:
        found = only(expected, measured, tolerance=100.0)
        assert found is not None
        assert found.kind == "class"
        assert "finite 302" in found.reason
    assert only(a_case(quantity), a_case(quantity)) is None


@pytest.mark.parametrize("field", ["values", "slope", "low", "high"])
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_what_is_no_number_in_a_baseline_fails(field: str, value: float | None) -> None:
    """NaN is larger than no tolerance: it has to be a class of its own."""
    good = a_case()
    wrong: Any = (value, *good.values[1:]) if field == "values" else value
    found = only(replace(good, **{field: wrong}), good, tolerance=100.0)
    assert found is not None
    assert found.kind == "class"


def test_all_zeros_are_a_class() -> None:
    zeros = a_case(norms(np.full((1, 1, 2, 9), -np.inf)))
    assert (zeros.kind, zeros.slope, zeros.low) == ("-inf", None, None)
    assert only(zeros, zeros) is None
    assert Case.from_json(json.loads(zeros.as_json())) == zeros


def test_other_lags_are_a_change_of_class() -> None:
    longer = only(a_case(), a_case(line(-0.1, 101)))
    assert longer is not None
    assert longer.kind == "class"
    assert "up to 101" in longer.reason


def test_missing_and_new_cases_fail() -> None:
    found = compare({"a": a_case(), "b": a_case()}, {"b": a_case(), "c": a_case()}, TOLERANCE)
    assert [(one.case, one.kind) for one in found] == [("a", "missing"), ("c", "new")]


def test_the_worst_comes_first() -> None:
    zeros = line(-0.1, 100)
    zeros.values[...] = -np.inf
    measured = {"a": moved(1e-3), "b": moved(-0.5), "c": a_case(zeros), "d": moved(0.1)}
    found = compare(dict.fromkeys([*measured, "e"], a_case()), measured, TOLERANCE)
    assert [one.case for one in found] == ["c", "b", "d", "a", "e"]


def ill_conditioned(slack: float = 1e-3) -> Case:
    """The usual case, which at length 10 is not ill-conditioned."""
    return replace(a_case(), slack=slack, early=Early(10, a_case(line(-0.1, 10))))


def seen(case: Case, slope: float = -0.1, length: int = 10) -> Case:
    """A measured case with what there is at a shorter length."""
    return replace(case, early=Early(length, a_case(line(slope, length))))


def test_an_ill_conditioned_case_is_judged_by_its_slope() -> None:
    assert only(ill_conditioned(), seen(moved(1.0))) is None
    assert only(ill_conditioned(), seen(a_case(line(-0.1005, 100)))) is None
    steeper = only(ill_conditioned(), seen(a_case(line(-0.2, 100))))
    assert steeper is not None
    assert steeper.kind == "vanishing"
    assert "ill-conditioned" in steeper.reason


def test_an_ill_conditioned_case_is_judged_at_a_shorter_length() -> None:
    found = only(ill_conditioned(), seen(a_case(), slope=-0.1 - 2e-6))
    assert found is not None
    assert (found.kind, found.lag) == ("vanishing", 10)
    assert found.reason.startswith("at length 10: at lag 10")
    for measured in (a_case(), seen(a_case(), length=9)):
        lacking = only(ill_conditioned(), measured)
        assert lacking is not None
        assert "length 10, which was not measured" in lacking.reason


def test_of_what_is_not_always_of_one_class_the_shorter_length_counts() -> None:
    case = replace(ill_conditioned(), kind=VARIES, slope=None)
    zero = line(-0.3, 100)
    zero.values[..., 0] = -np.inf
    assert only(case, seen(a_case(zero))) is None
    assert only(case, seen(a_case(zero), slope=-0.2)) is not None


@pytest.mark.parametrize("key", ["slope_within", "early", "high", "slope"])
def test_an_ill_conditioned_line_is_what_was_written(key: str) -> None:
    """Its slack forgives: nothing but a sum shows that a digit of it has changed."""
    fields = json.loads(ill_conditioned().as_json())
    assert Case.from_json(fields) == ill_conditioned()
    own = fields if key in fields else fields["ill_conditioned"]
    own[key] = {**own[key], "slope": 0.5} if key == "early" else own[key] + 0.5
    with pytest.raises(ValueError, match="sum is another"):
        Case.from_json(fields)


def test_cases_are_named_by_what_they_are() -> None:
    run = Run(Path()).add("lstm(coupled)", 9, 2, {"h": line(-1, 9, name="h")}, init__gain=0.5)
    (one,) = named_curves(run.points[0], run.result(run.points[0]))
    assert one.name == "lstm(coupled) length=9 seed=2 init.gain=0.5 h"
    assert (one.cell, one.kind, one.state) == ("lstm(coupled)", "lstm", "h")
    stack = norms(np.zeros((2, 2, 1, 4)), directions=("forward", "backward"))
    names = [one.name for one in named_curves(run.points[0], {"s": stack})]
    assert names[1] == "lstm(coupled) length=9 seed=2 init.gain=0.5 s layer=0 backward"
    assert len(names) == 4
    tops = [one.top for one in named_curves(run.points[0], {"s": stack})]
    assert tops == [False, False, True, True]


def a_series(quantity: Any, cell: str = "cec") -> NamedCurve:
    return NamedCurve(f"{cell} s", cell, cell.partition("(")[0], "s", *curves(quantity))


def asserts(**fields: Any) -> Assertion:
    return Assertion(**{"cell": None, "state": "s", "flat": None, "slope": None, **fields})


def test_flatness_is_asserted_without_a_baseline() -> None:
    assert judge(asserts(flat=1e-9), a_series(line(0.0, 50))) == []
    (found,) = judge(asserts(flat=1e-9), a_series(line(1e-9, 50))) or []
    assert found.kind == "invariant"
    assert "varies by 5e-08" in found.reason
    assert judge(asserts(flat=1.0), a_series(line(0.5, 2))) == []
    zero = line(0.0, 50)
    zero.values[0, 0, 0, 0] = -np.inf
    assert judge(asserts(flat=1.0), a_series(zero))


def test_a_slope_is_asserted_within_bounds() -> None:
    steep = a_series(line(-0.7, 50))
    assert judge(asserts(slope=(-0.8, -0.6)), steep) == []
    (below,) = judge(asserts(slope=(-0.6, -0.1)), steep) or []
    assert below.difference == pytest.approx(-0.1)
    (above,) = judge(asserts(slope=(-0.9, -0.8)), steep) or []
    assert above.difference == pytest.approx(0.1)
    assert judge(asserts(slope=(-0.9, -0.8)), a_series(norms(np.zeros((1, 1, 1, 1)))))


def test_an_assertion_concerns_its_cell_and_state() -> None:
    one = a_series(line(0.0, 5), "lstm(coupled)")
    for cell in (None, "lstm", "lstm(coupled)"):
        assert judge(asserts(flat=1.0, cell=cell), one) is not None
    assert judge(asserts(flat=1.0, cell="gru"), one) is None
    assert judge(asserts(flat=1.0, state="h"), one) is None
    assert judge(asserts(flat=1.0), replace(one, top=False)) is None
    assert idle(asserts(flat=1.0, cell="gru")).kind == "invariant"


def test_a_baseline_is_sorted_one_case_a_line_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "baselines" / "x.json"
    cases = {"b": moved(0.5), "a": ill_conditioned()}
    write_baseline(path, cases)
    lines = path.read_text().splitlines()
    assert [line.split('"')[1] for line in lines[2:4]] == ["a", "b"]
    assert len(lines) == 7
    json.loads(path.read_text(), parse_constant=lambda _: pytest.fail("not strict JSON"))
    assert read_baseline(path) == cases
    write_baseline(tmp_path / "none.json", {})
    assert read_baseline(tmp_path / "none.json") == {}


def test_no_baseline(tmp_path: Path) -> None:
    with pytest.raises(NoBaselineError, match="there is no baseline"):
        read_baseline(tmp_path / "x.json")


def written(**changes: Any) -> str:
    """A baseline of one case with some fields changed."""
    fields = {"class": "finite", "lags": [0, 1, 2], "log10": [0.0, -1.0, -2.0]}
    fields |= {"slope": -1.0, "low": -2.0, "high": 0.0}
    return json.dumps({"format": 1, "cases": {"a": fields | changes}})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 9, "cases": {}}',
        '{"format": 1, "cases": {"a": 3}}',
        '{"format": 1, "cases": {"a": {"class": "finite"}}}',
        "[" * 100_000,
        written(lags=[0, 2]),
        written(lags=[0, 2, 2]),
        written(lags=[], log10=[]),
        written(log10=[0.0, "much", 1.0]),
        written(slope=int("9" * 400)),
        written(high="x"),
        written(extra=1),
        written(ill_conditioned={"slope_within": None}),
        written(ill_conditioned={"slope_within": math.inf}),
        written(ill_conditioned={"slope_within": math.nan}),
        written(ill_conditioned={"slope_within": 0}),
        written(ill_conditioned={}),
        written(ill_conditioned={"slope_within": 0.1}),
        written(ill_conditioned={"slope_within": 0.1, "sum": "00000000"}),
    ],
)
def test_what_is_no_baseline(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"x.json is(.|\n)*fix:"):
        read_baseline(path)


def test_baselines_that_cannot_be_read_are_listed(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "baselines"
    for name in "abc":
        write_baseline(folder / f"{name}.json", {NAME: a_case()})
    (folder / "b.json").write_text("{")
    (folder / "a.json").unlink()
    (folder / "a.json").mkdir()
    found = examine_baselines(tmp_path / "results")
    assert [one.file.name for one in found] == ["a.json", "b.json"]
    assert "is not a baseline (JSONDecodeError" in str(found[1])
    assert str(found[1]).endswith("fix: restore it, or write it anew with gradflow baseline")
    assert str(found[0]).endswith("fix: restore it from where it is committed")


def test_cases_that_still_pass_keep_their_lines() -> None:
    old = {"same": a_case(), "moved": a_case(), "gone": a_case()}
    new = {"same": moved(1e-9), "moved": moved(0.5), "new": a_case()}
    merged, change = merge(old, new, TOLERANCE)
    assert merged == {"same": old["same"], "moved": new["moved"], "new": new["new"]}
    assert (change.kept, change.total) == (1, 3)
    assert [one.kind for one in change.findings] == ["exploding", "missing", "new"]
    words = accepted(Path("b.json"), change)
    assert words.startswith("b.json: 3 cases, 3 changed, 1 as they were\n exploding  moved")
    assert "+0.5 decades" in words
    many = replace(change, findings=change.findings * 5)
    assert "and 5 more" in accepted(Path("b.json"), many)
    assert "more" not in accepted(Path("b.json"), replace(many, findings=many.findings[:10]))


def test_a_case_that_becomes_ill_conditioned_is_written_anew() -> None:
    marked = ill_conditioned()
    assert merge({"a": a_case()}, {"a": marked}, TOLERANCE)[0] == {"a": marked}


def a_verdict(*findings: Finding, compared: int = 3, **fields: Any) -> Judgement:
    names = tuple(f"case {number}" for number in range(compared))
    return Judgement("demo", TOLERANCE, names, 0, findings, **fields)


FAILED = a_verdict(
    Finding("case 1", "vanishing", "at lag 9: -1.0 in the baseline, -1.5 now", -0.5, 9, -1.0, -1.5),
    Finding("case 100% <&]]>\x00", "class", "now nan", measured=math.nan),
)
WORDS: dict[str, Any] = {"config": "a,b:c.yaml", "accept": "gradflow baseline a,b:c.yaml"}


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (a_verdict(), 0),
        (FAILED, 1),
        (a_verdict(compared=0), 4),
        (replace(a_verdict(compared=0), asserted=2), 0),
        (a_verdict(*FAILED.findings, errors=(Failure(None, "crash"),)), 3),  # type: ignore[arg-type]
        (a_verdict(*FAILED.findings, errors=(Failure(None, "NaN", numerical=True),)), 1),  # type: ignore[arg-type]
    ],
)
def test_a_verdict_has_an_exit_code(verdict: Judgement, code: int) -> None:
    assert verdict.exit_code == code


def test_text_shows_case_lag_values_and_the_command() -> None:
    text = write_verdict(FAILED, "text", **WORDS)
    assert "demo: FAILED in 2 cases" in text
    assert "vanishing  case 1\n" in text
    assert "at lag 9: -1.0 in the baseline, -1.5 now (-0.5 decades)" in text
    assert text.endswith("accept it with:\n  gradflow baseline a,b:c.yaml\n")
    assert write_verdict(a_verdict(), "text", **WORDS).startswith("demo: passed, 3 cases compared")
    assert "nothing was compared" in write_verdict(a_verdict(compared=0), "text", **WORDS)
    assert text.count(" decades)") == 2  # of the tolerance, and of what is a number
    many = replace(FAILED, findings=FAILED.findings * 10)
    assert "and 10 more" in write_verdict(many, "text", **WORDS)


def test_no_baseline_helps_against_an_assertion() -> None:
    text = write_verdict(a_verdict(Finding("a", "invariant", "flat", 2.0)), "text", **WORDS)
    assert "baseline a,b" not in text


def test_json_is_strict_and_complete() -> None:
    def fail(constant: str) -> None:
        pytest.fail(constant)

    content = json.loads(write_verdict(FAILED, "json", **WORDS), parse_constant=fail)
    assert content["exit_code"] == 1
    assert content["passed"] is False
    assert content["accept"] == WORDS["accept"]
    worst, other = content["findings"]
    assert worst == {
        "case": "case 1", "kind": "vanishing", "difference": -0.5, "lag": 9, "expected": -1.0,
        "measured": -1.5, "reason": "at lag 9: -1.0 in the baseline, -1.5 now",
    }  # fmt: skip
    assert (other["difference"], other["measured"]) == ("inf", "nan")


def test_junit_lists_every_case() -> None:
    written = write_verdict(FAILED, "junit", **WORDS)
    assert written.count("\n  <testcase ") == 4
    suite = ElementTree.fromstring(written)
    assert (suite.get("tests"), suite.get("failures")) == ("4", "2")
    names = [case.get("name") for case in suite]
    assert names == ["case 1", "case 100% <&]]>?", "case 0", "case 2"]
    failure = suite[0].find("failure")
    assert failure is not None
    assert failure.get("type") == "vanishing"
    assert "gradflow baseline" in (failure.text or "")


def test_github_annotations_are_escaped() -> None:
    first, second = write_verdict(FAILED, "github", **WORDS).splitlines()
    assert first.startswith(
        "::error file=a%2Cb%3Ac.yaml,title=gradflow demo%3A vanishing::case 1%0A"
    )
    assert "case 100%25" in second
    assert write_verdict(a_verdict(), "github", **WORDS).startswith(
        "::notice title=gradflow::demo: passed"
    )
    assert "::demo: nothing" in write_verdict(a_verdict(compared=0), "github", **WORDS)


def test_formats_are_known() -> None:
    assert one_of("format", "junit", FORMATS) == "junit"
    with pytest.raises(UserError, match="there is text, json, junit, github"):
        one_of("format", "xml", FORMATS)


def test_slack_alone_comes_back() -> None:
    """What has no shorter length, as nets that have learnt."""
    case = replace(ill_conditioned(), early=None)
    assert Case.from_json(json.loads(case.as_json())) == case
