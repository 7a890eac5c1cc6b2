"""What a reviewer is shown of a verdict, from cases whose numbers are known."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradflow.errors import UserError
from gradflow.gate.cases import Case, measure_case
from gradflow.gate.compare import Finding, Judgement, compare
from gradflow.gate.evidence import draw_failures, summary
from gradflow.gate.sides import run_of_cases
from gradflow.report.read.records import curves
from tests.report.fakes import line, series

ACCEPT = "gradflow baseline small.yaml"


def case(slope: float, length: int = 12, start: float = 0.0) -> Case:
    (one,) = curves(line(slope, length, start=start))
    return measure_case(one)


def dead_from(lag: int, slope: float = -0.5) -> Case:
    """A curve over four steps, exactly zero from a lag on."""
    values = slope * np.arange(4, -1, -1.0)
    values[: 5 - lag] = -np.inf
    (one,) = curves(series(values[None, None, None]))
    return measure_case(one)


def verdict(expected: Mapping[str, Case], measured: Mapping[str, Case]) -> Judgement:
    both = tuple(sorted(expected.keys() & measured.keys()))
    findings = tuple(compare(expected, measured, 1e-6))
    return Judgement("small", 1e-6, both, 0, findings, expected=expected, measured=measured)


def told(expected: Mapping[str, Case], measured: Mapping[str, Case]) -> str:
    return summary(verdict(expected, measured), accept=ACCEPT)


def rows(page: str) -> list[list[str]]:
    """Cells of the first table, but for its head."""
    lines = page[page.index("| network |") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in one.strip("|").split("|")] for one in lines[2:]]


def numbers(page: str, begins: str) -> list[list[Any]]:
    return [json.loads(one) for one in re.findall(rf"^  {begins} .*?(\[.*\])$", page, re.MULTILINE)]


NAMES = ["rnn length=12 seed=0 s", "rnn length=12 seed=0 h", "cec length=12 seed=0 s"]
EXPECTED = dict(zip(NAMES, [case(-0.1), case(-0.1), case(0.0)], strict=True))
FAILED = EXPECTED | {NAMES[0]: case(-0.15), NAMES[1]: case(-0.12)}


def test_what_passes_is_bars_and_a_table() -> None:
    page = told(EXPECTED, EXPECTED)
    assert page.startswith("### ✅ Gradient flow: small: passed, 3 cases compared")
    assert "xychart-beta horizontal\n" in page
    assert 'x-axis ["rnn", "cec"]\n  y-axis -2 --> 0\n  bar [-1.2, 0.0]\n' in page
    assert re.search(r"^\| rnn \| −1\.2 \| −1\.2 \| 0 \|", page, re.MULTILINE)
    for absent in (ACCEPT, "<details>", "| network |", "Figure", "Blue"):
        assert absent not in page


def test_what_fails_is_a_row_for_each_network_and_its_worst_curve_drawn() -> None:
    one = "lstm length=12 seed=0 init.gain=2 s"
    found = verdict(EXPECTED | {one: case(-0.3)}, FAILED)
    page = summary(found, accept=ACCEPT, figures=[Path("there/a.png"), Path("b.png")])
    assert page.startswith("### ❌ Gradient flow: small: FAILED in 3 cases")
    less, lacking = "**less error arrives**", "**in the baseline, not in the experiment**"
    assert rows(page) == [
        ["rnn", "2 of 2", NAMES[0], less, "12", "10^-1.2", "10^-1.8", "−0.6"],
        ["lstm init.gain=2", "1 of 1", one, lacking, "–", "–", "–", "–"],
    ]
    lags = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12]
    assert numbers(page, "x-axis") == [lags]
    for found_line, slope in zip(numbers(page, "line"), (-0.1, -0.15), strict=True):
        assert found_line == pytest.approx([slope * lag for lag in lags], rel=1e-12)
    assert f'  title "{NAMES[0]}"\n' in page
    assert 'powers of ten" -2 --> 0\n' in page
    assert "\nBlue: the baseline. Orange: now.\n" in page
    assert f"```sh\n{ACCEPT}\n```\n" in page
    assert "<details><summary>All networks, then and now</summary>" in page
    assert page.endswith("Figure: `a.png`, `b.png`\n")


def test_a_change_at_the_loss_is_at_step_zero() -> None:
    (row,) = rows(told({NAMES[0]: case(-0.1)}, {NAMES[0]: case(-0.1, start=1.0)}))
    assert row[4:] == ["0", "10^0.0", "10^1.0", "+1"]


def test_what_is_no_norm_is_no_power_of_ten() -> None:
    name = "gru length=12 seed=0 gate_mean gate=z"
    (row,) = rows(told({name: case(0.0, start=0.25)}, {name: case(0.0, start=0.75)}))
    assert row[3:] == ["**more error arrives**", "0", "0.25", "0.75", "+0.5"]


def test_a_long_table_is_cut_and_says_so() -> None:
    expected = {f"rnn length=12 seed=0 init.gain={k} s": case(-0.1) for k in range(21)}
    page = told(expected, dict.fromkeys(expected, case(-0.2)))
    assert len(rows(page)) == 20
    assert page.count("20 of 21 rows.") == 2
    passes = told(expected, expected)
    assert len(numbers(passes, "bar")[0]) == 12
    twenty = dict(list(expected.items())[:20])
    assert " rows." not in told(twenty, dict.fromkeys(twenty, case(-0.2)))


def test_exact_zeros_are_not_drawn() -> None:
    page = told({NAMES[0]: dead_from(3)}, {NAMES[0]: dead_from(4, -0.75)})
    assert numbers(page, "x-axis") == [[0, 1, 2]]
    assert [one[-1] for one in numbers(page, "line")] == [-1.0, -1.5]
    assert "mermaid" not in told({NAMES[0]: dead_from(1)}, {NAMES[0]: dead_from(3)})
    assert "mermaid" in told({NAMES[0]: dead_from(2)}, {NAMES[0]: dead_from(3)})
    assert "mermaid" not in told({NAMES[0]: dead_from(2)}, {NAMES[0]: dead_from(2)})


def test_an_axis_holds_both_curves_and_is_never_empty() -> None:
    assert " -4 --> 0\n" in told({NAMES[0]: case(-0.3)}, {NAMES[0]: case(-0.1)})
    page = told({NAMES[2]: case(0.0)}, {NAMES[2]: case(0.0)})
    assert "  y-axis 0 --> 1\n  bar [0.0]\n" in page


def test_without_a_state_in_common_there_is_neither_picture_nor_second_table() -> None:
    page = told({NAMES[0]: case(-0.1)}, {NAMES[1]: case(-0.1)})
    assert [row[:3] for row in rows(page)] == [["rnn", "2 of 2", NAMES[1]]]
    assert "mermaid" not in page
    assert "<details>" not in page
    assert "<details>" in told({NAMES[0]: case(-0.1)}, {NAMES[2]: case(0.0)})


def test_names_stay_within_the_quotes_of_a_picture() -> None:
    name = 'rnn length=12 seed=0 inputs.path="a`b" s'
    page = told({name: case(-0.1)}, {name: case(-0.2)})
    assert "  title \"rnn length=12 seed=0 inputs.path='a'b' s\"\n" in page


def drawn(found: Judgement, out: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The names of what is drawn, and how; None where nothing is."""
    seen: list[Any] = []

    def overlay(old: Any, new: Any, **how: Any) -> Sequence[Path]:
        points = [[point.cell for point in side.run.points] for side in (old, new)]
        seen.append((old.label, new.label, *points, how))
        return [out]

    monkeypatch.setattr("gradflow.report.figures.overlay", overlay)
    assert draw_failures(found, out) == ([out] if seen else [])
    return seen[0] if seen else None


def test_of_each_network_the_worst_curve_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{kind} length=12 seed=0 {state}" for kind in "abcdefg" for state in ("s", "h")]
    expected = dict.fromkeys(names, case(-0.1))
    slopes = {"s": -0.2, "h": -0.15}
    measured = {name: case(slopes[name[-1]]) for name in names}
    measured["g length=12 seed=0 h"] = case(-0.4)
    found = verdict(expected, measured)
    *labels, old, new, how = drawn(found, Path("out"), monkeypatch)
    assert labels == ["baseline", "now"]
    assert (old, new) == (["g"], ["g"])  # the others' worst is of another state
    assert how["state"] == "h"
    assert how["formats"] == ("png",)
    assert how["title"] == "g length=12 seed=0 h"
    measured["g length=12 seed=0 h"] = case(-0.15)
    *_, old, new, how = drawn(verdict(expected, measured), Path("a.svg"), monkeypatch)
    assert old == new == list("abcdef")
    assert (how["state"], how["formats"], how["title"]) == ("s", None, None)


def test_what_has_no_two_curves_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = verdict({NAMES[0]: case(-0.1)}, {NAMES[2]: case(0.0)})
    assert drawn(lacking, Path("out"), monkeypatch) is None
    other = Finding("all cells s", "invariant", "of no curve")
    assert drawn(replace(lacking, findings=(other,)), Path("out"), monkeypatch) is None
    name = "gru length=12 seed=0 gate_mean gate=z"
    beside = verdict({name: case(0.0)}, {name: case(0.0, start=0.5)})
    assert drawn(beside, Path("out"), monkeypatch) is None


def test_golden_values_are_curves_over_their_lags_and_steps() -> None:
    run = run_of_cases("small", EXPECTED)
    (s, *_), (point, *_) = ([run.result(p)["s"] for p in run.points], run.points)
    lags = list(EXPECTED[NAMES[0]].lags)
    assert (point.cell, point.length) == ("rnn", 12)
    assert s.coords["lag"].tolist() == [lags]
    assert s.coords["step"].tolist() == [lags[-1] - lag for lag in lags]
    assert s.values.ravel().tolist() == list(EXPECTED[NAMES[0]].values)


def test_a_case_that_names_no_curve_is_named_with_its_file() -> None:
    with pytest.raises(UserError, match=r"here\.json: 'nonsense' names no cell, length"):
        run_of_cases("demo", {"nonsense": case(-0.1)}, Path("here.json"))
