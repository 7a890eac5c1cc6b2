"""`gradflow verify`: right cells pass, wrong ones are named, on a table that fits."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from gradflow.cli import app
from gradflow.cli.screen import line
from gradflow.core import cells
from gradflow.core.analyses.rtrl import rtrl
from gradflow.core.cells import GRU, LSTM, RNN
from gradflow.core.cells.activations import ACTIVATIONS
from gradflow.report.tables.layout import print_sheet
from gradflow.report.tables.networks import trust_sheet
from gradflow.testing import variants
from gradflow.testing.conformance import Check
from gradflow.testing.trust import METHODS, Evidence, Trust, rtrl_error, trust


@dataclass(frozen=True)
class Leaning(RNN):
    """Right in one variant, wrong by 1e-6 in the other."""

    bias: bool = True
    kind: ClassVar[str] = "leaning"

    def step_vjp(self, p, local, dstate):
        before, da, totals = super().step_vjp(p, local, dstate)
        return (before[0] * (1 if self.bias else 1 + 1e-6),), da, totals


@dataclass(frozen=True)
class Nowhere(RNN):
    kind: ClassVar[str] = "nowhere"

    def step_vjp(self, p, local, dstate):
        before, da, totals = super().step_vjp(p, local, dstate)
        return (before[0] * np.nan,), da, totals


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells.CELLS, "known", dict(cells.CELLS.known))
    monkeypatch.setenv("COLUMNS", "80")
    cells.register(Leaning)
    cells.register(Nowhere)


def call(*words: str) -> Result:
    return CliRunner().invoke(app, ["verify", *words], prog_name="gradflow")


@pytest.mark.parametrize(
    "kinds", [["rnn", "cec", "gru"], pytest.param(["lstm", "block"], marks=pytest.mark.extras)]
)
def test_every_cell_of_the_registry_passes_by_every_method(kinds: list[str]) -> None:
    done = call(*kinds, "--json")
    assert done.exit_code == 0, done.stdout
    rows = json.loads(done.stdout)
    wanted = {cell.label for kind in kinds for cell in variants(cells.get(kind))}
    assert {row["cell"] for row in rows} == wanted
    for row in rows:
        assert row["passed"]
        for name in METHODS:
            one = row["evidence"][name]
            assert (one["error"] is None) == (one["checks"] == [])
            if name in ("complex step", "RTRL") or (name == "closed form" and one["checks"]):
                assert one["error"] < 1e-10, row
    plain = {row["cell"]: row for row in rows}
    for kind in plain.keys() & {"rnn", "lstm", "gru"}:
        assert 0 < plain[kind]["evidence"]["published"]["error"] < 1e-6
    if "rnn" in kinds:
        assert len(plain["rnn"]["evidence"]["closed form"]["checks"]) == 2


def test_the_table_fits_80_columns_and_begins_with_the_plain_cell(own: None) -> None:
    done = call("gru", "cec")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    labels = [text.split("  ")[0] for text in lines]
    rows = [label for label in labels if label and "─" not in label]
    assert rows[:5] == ["cell", "gru", " no bias", " reset=after, no bias", " reset=after"]
    assert "14 cells, all pass" in " ".join(done.stdout.split())
    assert call("cec", "cec").stdout.count("passes") == 1
    assert call("cec", "-q").stdout == ""


def test_a_wrong_cell_is_red_and_named(own: None) -> None:
    done = call("leaning")
    assert done.exit_code == 1
    text = " ".join(done.stdout.split())
    assert "fails" in text
    assert "1 of 9 cells fail" in text
    assert "leaning(no bias): ∂/∂s of a step against the complex step: error 1.0e-06" in text
    assert "… and" in call("nowhere").stdout
    assert call("leaning", "-q").exit_code == 1
    rows = {row["cell"]: row for row in json.loads(call("leaning", "--json").stdout)}
    assert rows["leaning"]["passed"]
    assert not rows["leaning(no bias)"]["passed"]
    assert not rows["leaning(no bias)"]["evidence"]["complex step"]["passed"]
    assert rows["leaning"]["evidence"]["published"]["checks"] == []


def test_nan_is_never_within_tolerance(own: None) -> None:
    for row in trust("nowhere"):
        failing = {check.name for check in row.wrong}
        assert "∂/∂s of a step against the complex step" in failing
        assert "norms and gradients against RTRL" in failing
    done = call("nowhere", "--json")
    assert json.loads(done.stdout)[0]["evidence"]["complex step"]["error"] == "nan"


def test_a_cell_that_cannot_be_made_is_one_row(own: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(kind: str) -> None:
        raise ModuleNotFoundError("No module named 'elsewhere'")

    monkeypatch.setattr(cells, "get", broken)
    done = call("leaning")
    assert done.exit_code == 1
    assert "making the cell: ModuleNotFoundError: No module named 'elsewhere'" in " ".join(
        done.stdout.split()
    )


def test_an_unknown_cell_is_the_users_mistake() -> None:
    done = call("lstn")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "unknown cell 'lstn'" in done.stderr
    assert "did you mean lstm?" in done.stderr
    assert "docs/own-cells.md" in call("zzz").stderr


@pytest.mark.parametrize("cell", [LSTM(2, "full"), GRU(2)], ids=str)
def test_the_two_engines_differ_where_one_is_wrong(cell, monkeypatch) -> None:
    assert rtrl_error(cell) < 1e-13
    monkeypatch.setattr("gradflow.testing.trust.rtrl", louder)
    assert rtrl_error(cell) == pytest.approx(1 - 2.0**-20, rel=1e-6)


def louder(net, weights, x, loss, length, **options):
    return rtrl(
        net, weights, x, replace(loss, direction=loss.direction * 2.0**20), length, **options
    )


def test_ascii_where_the_terminal_knows_no_more() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    rows = [Trust("x", "x", {"RTRL": Evidence((Check("x", "σ", float("inf"), note="no"),))})]
    print_sheet(trust_sheet(rows), Console(file=stream, width=80))
    stream.seek(0)
    text = stream.read()
    assert "fails" in text
    assert "x: sigma: no" in text
    assert "1 of 1 cell fail" in text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_shows_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with line("demo") as at:
        at("nothing")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with line("demo", quiet=True) as at:
        at("nothing")
    assert terminal.getvalue() == ""
    with line("[/red]") as at:
        at("[bold] 3 done")
    assert "[/red]" in terminal.getvalue()


def test_options_without_an_end_stay_at_their_default() -> None:
    @dataclass(frozen=True)
    class Many(RNN):
        kind: ClassVar[str] = "many"
        way: Literal["a", "b"] | None = "a"
        rate: float = 0.5

    found = {(cell.way, cell.rate, cell.activation) for cell in variants(Many)}
    assert {(way, rate) for way, rate, _ in found} == {("a", 0.5), ("b", 0.5)}
    assert {how for _, _, how in found} == set(ACTIVATIONS)
    assert len(found) == 1 + len(ACTIVATIONS)
