"""`gradflow advise`: what it claims holds when measured the ordinary way."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import gradflow
from gradflow.advice.advise import Advice, advise
from gradflow.advice.search import BISECTIONS, Trial, knobs, search, trial, turn
from gradflow.advice.show import advice_note, advice_sheet
from gradflow.cli import app
from gradflow.core import cells
from gradflow.core.cells import CEC
from gradflow.errors import GradflowError, NumericalError, UserError
from gradflow.experiment.config import PointConfig
from gradflow.report.read.rates import STEADY
from gradflow.report.tables.layout import print_sheet
from tests.own import Keeping, registered

CONFIG = """\
name: small
model: {cell: rnn, hidden: 8}
inputs: {kind: noise, sequences: 3}
sweep: {model.cell: [rnn, lstm, gru, cec], length: [5, 40], seed: 3}
"""


@dataclass(frozen=True)
class Fading(CEC):
    """Loses half a step, whatever is done."""

    kind: ClassVar[str] = "fading"

    def step(self, p, state, u):
        return (state[0] / 2 + u,), ()

    def step_vjp(self, p, local, dstate):
        return (dstate[0] / 2,), dstate[0], ()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "small.yaml").write_text(CONFIG)
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), prog_name="gradflow")


def only(cell: Any, **sections: Any) -> Advice:
    """The advice on one cell of 8 units over 30 steps of noise."""
    given = {"inputs": {"kind": "noise", "sequences": 2}, "length": 30, **sections}
    (advice,) = advise(gradflow.configure(model={"cell": cell, "hidden": 8}, **given))
    return advice


def test_what_it_claims_holds_in_an_ordinary_run() -> None:
    done = call("advise", "small.yaml", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    content = json.loads(done.stdout)
    assert (content["length"], content["seeds"], content["fixed"]) == (40, [0, 1, 2], {})
    assert content["fresh"] == [3, 4, 5]
    before = {row["cell"]: row["decades"] for row in rows("small.yaml")}
    assert [one["cell"] for one in content["cells"]] == ["rnn", "lstm", "gru", "cec"]
    for one in content["cells"]:
        assert one["before"] == pytest.approx(before[one["cell"]], abs=1e-9)
        assert one["steady"] == (abs(one["before"]) <= STEADY)
        assert bool(one["knobs"]) != one["steady"]
        for knob in one["knobs"]:
            cell, fresh = f"model.cell={one['cell']}", f"sweep.seed={content['fresh']}"
            (row,) = rows("small.yaml", cell, knob["change"], fresh)
            assert row["decades"] == pytest.approx(knob["after"], abs=1e-9)
            assert (row["verdict"] == "steady") == knob["steady"]
            assert (row["agree"], knob["tried"] > 0) == (knob["agree"], True)
    assert {one["cell"] for one in content["cells"] if one["best"]} >= {"rnn", "lstm", "gru"}


def rows(*words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(call("run", *words, "--json", "--fresh").stdout)[
        "rows"
    ]
    return found


def test_the_table_marks_the_best_of_each_cell() -> None:
    done = call("advise", "small.yaml", "-j", "2")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith(" * ") for line in lines) == 3
    assert (
        "cec                         0.0" in done.stdout or "nothing has to change" in done.stdout
    )
    text = " ".join(done.stdout.split())
    assert "alone on seeds 0 to 2; after, and seeds, in how many it is so, are of fresh" in text
    assert "ones, 3 to 5." in text
    best = json.loads(call("advise", "small.yaml", "--json").stdout)["cells"]
    for one in best:
        if one["best"]:
            assert one["best"] in text
    quiet = call("advise", "small.yaml", "-q").stdout.splitlines()
    assert quiet == [f"{one['cell']}: {one['best']}" for one in best if one["best"]]


def test_what_most_seeds_agree_on_comes_first() -> None:
    trials = [Trial(1, 0.1, (), 1), Trial(2, 0.9, (), 3), Trial(3, 0.5, (), 3), Trial(4, 2, (), 5)]
    assert [one.value for one in sorted(trials, key=lambda one: one.order)] == [3, 2, 1, 4]
    found = only("lstm").found
    assert [each.judged.order for each in found] == sorted(each.judged.order for each in found)


def test_the_curves_before_and_after_are_drawn(here: Path) -> None:
    words = ("advise", "small.yaml", "sweep.model.cell=[rnn]", "--json")
    done = call(*words, "--plot", "both.svg")
    assert (done.exit_code, done.stderr) == (0, "both.svg\n")
    assert done.stdout == call(*words).stdout
    assert "after the change" in (here / "both.svg").read_text("utf-8")


def test_other_axes_stay_at_their_first_value_and_that_is_said() -> None:
    words = ("advise", "small.yaml", "sweep.inputs.scale=[0.5, 2]", "sweep.model.cell=[rnn]")
    assert "inputs.scale is taken at its first value, 0.5." in " ".join(call(*words).stdout.split())
    assert json.loads(call(*words, "--json").stdout)["fixed"] == {"inputs.scale": 0.5}


def test_one_seed_is_made_five() -> None:
    advice = only("rnn", seed=7)
    assert advice.seeds == (7, 8, 9, 10, 11)
    assert advice.fresh == (12, 13, 14, 15, 16)
    assert len(advice.before.results) == 5
    many = gradflow.configure(
        model={"cell": "cec"}, inputs={"kind": "noise"}, length=3, sweep={"seed": 12}
    )
    assert "alone on seeds 0 to 11" in advice_note(advise(many), many)
    apart = gradflow.configure(
        model={"cell": "cec"}, inputs={"kind": "noise"}, length=3, sweep={"seed": [4, 9]}
    )
    assert "alone on seeds 4, 9; after" in advice_note(advise(apart), apart)


def test_what_explodes_is_turned_down() -> None:
    advice = only({"kind": "rnn", "activation": "identity"}, init={"recurrent_gain": 2.0})
    (found,) = advice.found
    assert advice.before.decades == pytest.approx(30 * math.log10(2), rel=0.01)
    assert found.best.steady
    assert 0.9 < found.best.value < 1.1
    overflowing = only(
        {"kind": "rnn", "activation": "identity"}, init={"recurrent_gain": 1e20}, length=40
    )
    assert overflowing.before.decades == math.inf
    assert overflowing.before.results == ()
    assert overflowing.best is not None


@pytest.mark.parametrize("gain", [0.0, 1e-3])
def test_what_has_no_memory_at_all_gets_one(gain: float) -> None:
    best = only("rnn", init={"recurrent_gain": gain}).best
    assert best is not None
    assert best.best.steady


def test_the_bias_of_a_gate_is_turned_where_it_is_set() -> None:
    byname = {f.knob.name: f for f in only("lstm", init={"bias": {"f": -3.0}}).found}
    assert set(byname) == {"recurrent gain", "forget bias"}
    assert byname["forget bias"].setting.startswith("init.bias.f=")
    assert byname["forget bias"].best.value > -3
    gru = {f.knob.name: f for f in only("gru", init={"bias": {"z": 3.0}}).found}
    assert gru["update bias"].setting.startswith("init.bias.z=-")


def test_chrono_is_followed_from_where_it_is() -> None:
    short = only("lstm", init={"forget_bias": {"chrono": 2}}, length=60)
    byname = {f.knob.name: f for f in short.found}
    assert byname["chrono T_max"].best.value > 2
    assert byname["chrono T_max"].setting.startswith("init.forget_bias.chrono=")
    assert byname["forget bias"].tried >= 1
    none = {f.knob.name: f for f in only("lstm", init={"forget_bias": None}, length=60).found}
    assert none["forget bias"].best.value > 0


def test_middles_are_as_short_as_they_can_be_and_end() -> None:
    config = only("gru").config
    gain, bias, chrono = knobs(config)
    assert gain.between(1, 2) == 1.41
    assert gain.between(0, 2) == 1
    assert bias.between(-2, -1) == -1.5
    assert bias.more[0] == -1
    assert bias.less[0] == 1
    assert chrono.between(3, 4) == 3
    assert chrono.between(100, 400) == 200


def test_nothing_helps_what_saturates() -> None:
    config = ["inputs.scale=1e9", "sweep.model.cell=[rnn]", "init.input_gain=100"]
    done = call("advise", "small.yaml", *config)
    assert done.exit_code == 0
    assert "nothing helps" in done.stdout
    assert "exact 0" in done.stdout
    (one,) = json.loads(call("advise", "small.yaml", *config, "--json").stdout)["cells"]
    assert (one["best"], one["before"]) == (None, "-inf")


def test_there_may_be_nothing_to_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells.CELLS, "known", dict(cells.CELLS.known))
    cells.register(Fading)
    advice = only("fading")
    assert advice.before.decades == pytest.approx(-30 * math.log10(2))
    assert (advice.found, advice.best) == ((), None)
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    experiment = gradflow.configure(model={"cell": "fading"}, inputs={"kind": "noise"}, length=30)
    print_sheet(advice_sheet([advice], experiment), Console(file=stream, width=80))
    stream.seek(0)
    text = stream.read()
    assert "there is nothing to turn" in text
    assert "-9.0" in text


@pytest.mark.parametrize(
    "words",
    [("none.yaml",), ("small.yaml", "model.hiden=3"), ("small.yaml", "length=0"),
     ("small.yaml", "model.hidden=4000", "memory=1MiB")],
)  # fmt: skip
def test_a_wrong_config_is_the_users_mistake(words: tuple[str, ...]) -> None:
    done = call("advise", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_imported_weights_cannot_be_advised_on(here: Path) -> None:
    import numpy as np

    shapes = {"weight_ih_l0": (4, 1), "weight_hh_l0": (4, 4), "bias_ih_l0": 4, "bias_hh_l0": 4}
    np.savez(here / "w.npz", **{name: np.zeros(shape) for name, shape in shapes.items()})
    experiment = gradflow.configure(
        model={"cell": "rnn", "weights": str(here / "w.npz")}, inputs={"kind": "noise"}, length=3
    )
    with pytest.raises(UserError, match="come from a file"):
        advise(experiment)


def test_what_fails_inside_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr("gradflow.advice.search.measure", broken)
    with pytest.raises(GradflowError, match="no such luck"):
        only("rnn")


def test_a_trial_that_overflows_is_infinite(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise NumericalError("too large")

    config = only("cec").config
    monkeypatch.setattr("gradflow.advice.search.measure", broken)
    assert trial(config, 1.0, [0]).decades == math.inf


@pytest.mark.parametrize(
    ("which", "edge"), [(0, 1.234), (0, 0.02), (1, 1e9), (1, -1e9), (1, -3.3), (2, 7.0), (2, 20.5)]
)
def test_what_is_never_steady_is_tried_within_bounds(
    which: int, edge: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D jumps from −5 to +5 at an edge."""
    config = only("gru", length=9).config
    knob = knobs(config)[which]

    def cliff(config: PointConfig, value: float, seeds: Any) -> Trial:
        return Trial(value, 5.0 if value > edge else -5.0, ())

    monkeypatch.setattr("gradflow.advice.search.trial", cliff)
    tried = [one.value for one in turn(knob, config, [0], Trial(math.nan, -5.0, ()))]
    assert 1 < len(tried) <= len(knob.grid) + 2 * BISECTIONS
    assert len(set(tried)) == len(tried)
    if edge == 20.5:
        assert {20.0, 21.0} <= set(tried)


def test_a_z_that_keeps_is_turned_as_a_forget_gate() -> None:
    with registered(Keeping):
        byname = {f.knob.name: f for f in only("keeping", init={"bias": {"z": -4.0}}).found}
    assert set(byname) == {"recurrent gain", "forget bias"}
    found = byname["forget bias"]
    assert found.knob.grid == tuple(range(-2, 11))
    assert found.setting.startswith("init.bias.z=")
    assert found.best.steady
    assert found.best.value > 0


def test_what_is_advised_is_judged_on_seeds_that_the_search_has_not_seen() -> None:
    """The search alone would show what it selected, here a draw that no other seed repeats."""
    lucky = Trial(2.0, 0.0, (), 3)

    def seen(config: PointConfig, value: float, seeds: Any) -> Trial:
        return lucky if 0 in seeds else Trial(value, -4.0, (), 0)

    config = only("rnn").config
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gradflow.advice.search.trial", seen)
        found = search(knobs(config)[0], config, [0, 1], [2, 3], Trial(math.nan, -9.0, ()))
    assert (found.best.steady, found.judged.steady) == (True, False)


def test_a_sum_of_losses_is_advised_on_by_its_last() -> None:
    """By the sum itself an LSTM that forgets everything looks steady."""
    given = {"init": {"recurrent": "uniform", "input": "uniform", "forget_bias": 0.0}, "length": 60}
    last, every = (
        only("lstm", loss={"kind": "probe", "at": at}, **given) for at in ("last", "all")
    )
    assert every.before.decades == pytest.approx(last.before.decades, rel=1e-9)
    assert last.before.decades < -10
    assert every.best is not None
    assert every.best.judged.steady
