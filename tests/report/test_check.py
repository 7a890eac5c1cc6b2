"""The gate on measured networks."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.core.quantity import Result
from gradflow.errors import GradflowError, NoBaselineError, NumericalError, UserError
from gradflow.experiment.config import load_config
from gradflow.experiment.measure.plan import Bundle, PlannedPoint, plan
from gradflow.experiment.run import run
from gradflow.experiment.store.manifest import read_manifest
from gradflow.experiment.workers.executor import Serial
from gradflow.experiment.workers.pool import Pool
from gradflow.gate import check as gate
from gradflow.gate import twins
from gradflow.gate.check import check, make_baseline
from gradflow.gate.naming import prefix
from tests.experiment.measures import an_experiment

CHAOTIC = Path(__file__).with_name("chaotic.yaml")


def test_a_baseline_passes_on_reruns_and_on_any_number_of_workers(tmp_path: Path) -> None:
    path, change = make_baseline(an_experiment(), out=tmp_path)
    assert path == tmp_path / "baselines" / "small.json"
    assert change.total == 30
    text = path.read_text()
    again, change = make_baseline(an_experiment(), out=tmp_path)
    assert (change.kept, change.findings) == (30, ())
    assert again.read_text() == text
    assert "ill_conditioned" not in text
    for workers in (Serial, lambda measure: Pool(2, measure)):
        target = tmp_path / str(workers)
        (target / "baselines").mkdir(parents=True)
        (target / "baselines" / "small.json").write_text(text)
        verdict = check(an_experiment(), out=target, workers=workers)
        assert (verdict.exit_code, len(verdict.compared)) == (0, 30)
        assert len(read_manifest(target / "small").stored) == 12


def test_the_baseline_is_looked_for_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(NoBaselineError):
        check(an_experiment(), out=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    """Make a cell's derivatives wrong by a factor."""

    def install(kind: str, factor: float) -> None:
        cell = cells.get(kind)
        right = cell.step_vjp

        def step_vjp(self: Any, p: Any, local: Any, ds: Any, *rest: Any, **options: Any) -> Any:
            before, *others = right(self, p, local, ds, *rest, **options)
            return tuple(part * factor for part in before), *others

        monkeypatch.setattr(cell, "step_vjp", step_vjp)

    return install


@pytest.mark.parametrize("kind", cells.names())
@pytest.mark.parametrize(
    ("factor", "direction"), [(1 + 1e-4, "exploding"), (1 - 1e-4, "vanishing")]
)
def test_a_derivative_wrong_by_1e_4_fails(
    kind: str, factor: float, direction: str, tmp_path: Path, wrong: Any
) -> None:
    experiment = an_experiment(f"model.cell={kind}", "sweep.length=[5]", "sweep.seed=1")
    make_baseline(experiment, out=tmp_path)
    wrong(kind, factor)
    run(experiment, out=tmp_path, fresh=True)
    verdict = check(experiment, out=tmp_path)
    assert verdict.exit_code == 1
    worst = verdict.findings[0]
    assert worst.kind == direction
    assert worst.case.startswith(f"{kind} length=5 seed=0")
    assert worst.lag == 5
    assert worst.difference == pytest.approx(5 * np.log10(factor), rel=1e-3)


def ill_conditioned(path: Path) -> dict[str, Any]:
    cases = json.loads(path.read_text())["cases"]
    return {name: one["ill_conditioned"] for name, one in cases.items() if len(one) > 6}


def test_chaos_is_judged_by_its_slope_and_at_a_shorter_length(tmp_path: Path) -> None:
    experiment = load_config(CHAOTIC)
    path, change = make_baseline(experiment, out=tmp_path)
    found = ill_conditioned(path)
    assert found.keys() == ill_conditioned(CHAOTIC.with_suffix(".json")).keys()
    assert 0 < len(found) < change.total
    assert {one["early"]["length"] for one in found.values()} < set(range(200))
    assert check(experiment, out=tmp_path).exit_code == 0


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The baseline of chaotic nets as another processor has made it."""
    (tmp_path / "baselines").mkdir()
    shutil.copy(CHAOTIC.with_suffix(".json"), tmp_path / "baselines")
    return tmp_path


def test_chaos_is_green_on_another_processor(elsewhere: Path) -> None:
    """OpenBLAS takes its oldest kernels: another order of summation."""
    code = "from gradflow.cli import main; main()"
    words = [sys.executable, "-c", code, "check", str(CHAOTIC), "--results", str(elsewhere)]
    kernels = {**os.environ, "OPENBLAS_CORETYPE": "Nehalem"}
    done = subprocess.run(words, capture_output=True, text=True, env=kernels, check=False)
    assert (done.returncode, done.stdout[:15]) == (0, "chaotic: passed")


@pytest.mark.parametrize("kind", ["rnn", "gru"])
def test_a_derivative_wrong_by_1e_3_fails_in_chaos(kind: str, elsewhere: Path, wrong: Any) -> None:
    wrong(kind, 1 + 1e-3)
    verdict = check(load_config(CHAOTIC), out=elsewhere)
    found = {one.case for one in verdict.findings if one.reason.startswith("at length")}
    chaotic = ill_conditioned(CHAOTIC.with_suffix(".json"))
    assert found == {name for name in chaotic if name.startswith(kind)}


def test_without_inputs_the_weights_alone_show_what_is_chaotic(tmp_path: Path) -> None:
    experiment = an_experiment(
        "model.cell=rnn", "model.hidden=24", "sweep.length=[200]", "sweep.seed=1",
        inputs={"kind": "noise", "scale": 0, "sequences": 1}, record={"states": ["h"]},
        init={"recurrent": "normal", "recurrent_gain": 3.0, "bias": {"g": 0.3}},
    )  # fmt: skip
    path, _ = make_baseline(experiment, out=tmp_path)
    assert ill_conditioned(path)


def test_a_sweep_that_changed_has_missing_and_new_cases(tmp_path: Path) -> None:
    make_baseline(an_experiment("sweep.seed=[0, 1]", "sweep.length=[3]"), out=tmp_path)
    verdict = check(an_experiment("sweep.seed=[1, 2]", "sweep.length=[3]"), out=tmp_path)
    kinds = {(one.kind, one.case.split()[2]) for one in verdict.findings}
    assert kinds == {("missing", "seed=0"), ("new", "seed=2")}
    other = check(an_experiment("sweep.seed=[7]"), out=tmp_path)
    assert other.compared == ()
    assert other.exit_code == 1


def test_assertions_are_judged_beside_the_baseline_or_alone(tmp_path: Path) -> None:
    flat = {"assert": [{"cell": "cec", "state": "s", "flat": 1e-9}]}
    experiment = an_experiment("sweep.model.cell=[cec, rnn]", check=flat)
    with pytest.raises(NoBaselineError):
        check(experiment, out=tmp_path)
    alone = check(experiment, out=tmp_path, assert_only=True)
    assert (alone.exit_code, alone.asserted, alone.compared) == (0, 6, ())
    make_baseline(experiment, out=tmp_path)
    steep = {"assert": [{"cell": "rnn", "state": "s", "slope": [0.5, 0.6]}]}
    verdict = check(an_experiment("sweep.model.cell=[cec, rnn]", check=steep), out=tmp_path)
    assert (verdict.exit_code, verdict.asserted) == (1, 6)
    assert {one.kind for one in verdict.findings} == {"invariant"}


def test_an_assertion_about_nothing_fails(tmp_path: Path) -> None:
    about_c = {"assert": [{"state": "c", "flat": 1.0}]}
    experiment = an_experiment("model.cell=rnn", check=about_c)
    verdict = check(experiment, out=tmp_path, assert_only=True)
    assert [one.case for one in verdict.findings] == ["all cells c"]


def test_a_pattern_chooses_cases_and_measures_no_other_points(tmp_path: Path) -> None:
    flat = {"assert": [{"state": "c", "flat": 1.0}]}
    experiment = an_experiment(check=flat)
    path, _ = make_baseline(an_experiment(), out=tmp_path / "made")
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "small.json").write_text(path.read_text())
    verdict = check(experiment, out=tmp_path, patterns=["RNN*length=5*seed=1 s"])
    assert verdict.compared == ("rnn length=5 seed=1 s",)
    assert (verdict.exit_code, verdict.asserted) == (0, 0)
    assert len(read_manifest(tmp_path / "small").stored) == 1
    both = check(experiment, out=tmp_path, patterns=["rnn length=5 seed=1 s", "seed=0 c"])
    assert len(both.compared) == 1 + both.asserted > 1
    assert check(experiment, out=tmp_path, patterns=["nobody"]).exit_code == 4
    other = an_experiment("sweep.seed=[0, 7]")
    gone = check(other, out=tmp_path, patterns=[f"rnn length=5 seed={i} s" for i in (1, 7)])
    assert {(one.kind, one.case) for one in gone.findings} == {
        ("missing", "rnn length=5 seed=1 s"), ("new", "rnn length=5 seed=7 s")
    }  # fmt: skip


def test_one_case_is_accepted_and_the_others_stay(tmp_path: Path) -> None:
    path, _ = make_baseline(an_experiment(), out=tmp_path)
    before = json.loads(path.read_text())["cases"]
    other = an_experiment("model.hidden=5", "sweep.seed=[0, 7]")
    name = "rnn length=5 seed=0 s"
    _, change = make_baseline(other, out=tmp_path, names=[name])
    assert [(one.case, change.kept, change.total) for one in change.findings] == [(name, 29, 30)]
    after = json.loads(path.read_text())["cases"]
    assert [one for one in before if before[one] != after[one]] == [name]
    assert check(other, out=tmp_path, patterns=[name]).passed
    gone, new = name.replace("0", "1"), name.replace("0", "7")
    _, change = make_baseline(other, out=tmp_path, names=[gone, new])
    assert {one.kind for one in change.findings} == {"missing", "new"}
    assert json.loads(path.read_text())["cases"].keys() == {*before, new} - {gone}
    with pytest.raises(UserError, match=r"did you mean 'rnn length=5 seed=0 .'"):
        make_baseline(other, out=tmp_path, names=["rnn length=5 seed=0 k"])


def test_nothing_to_compare(tmp_path: Path) -> None:
    assert check(an_experiment(), out=tmp_path, assert_only=True).exit_code == 4


@pytest.mark.parametrize(
    ("error", "code"), [(NumericalError("rnn: NaN at step 3"), 1), (ZeroDivisionError(), 3)]
)
def test_a_point_that_fails_in_the_gate(
    error: Exception, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = gate.measure

    def fails(bundle: Bundle) -> list[Result]:
        if any(p.config.seed == 1 and p.config.model.cell.kind == "rnn" for p in bundle.points):
            raise error
        return right(bundle)

    make_baseline(an_experiment(), out=tmp_path)
    (tmp_path / "small").rename(tmp_path / "elsewhere")
    monkeypatch.setattr(gate, "measure", fails)
    verdict = check(an_experiment(), out=tmp_path)
    assert verdict.exit_code == code
    assert [(one.case, one.kind) for one in verdict.findings] == [
        ("rnn length=3 seed=1", "failed"),
        ("rnn length=5 seed=1", "failed"),
    ]
    assert len(verdict.errors) == 2
    (tmp_path / "small").rename(tmp_path / "partial")
    with pytest.raises(GradflowError, match="2 points failed, so there is no baseline"):
        make_baseline(an_experiment(), out=tmp_path)


def test_a_full_disk_is_no_place_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> object:
        raise OSError(errno.ENOSPC, "no space left")

    make_baseline(an_experiment(), out=tmp_path)
    monkeypatch.setattr(gate, "run", full)
    with pytest.raises(OSError, match="no space left"):
        check(an_experiment(), out=tmp_path)


def one_point(**sections: Any) -> PlannedPoint:
    (point,) = plan(an_experiment(sweep={"length": [24]}, **sections))
    return point


def test_what_stays_chaotic_at_half_its_length_is_judged_at_a_quarter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = one_point()
    name, longest = prefix(point.point) + "h", [9]
    monkeypatch.setattr(twins, "_moves", lambda case, *_: case.lags[-1] > longest[0])
    early = twins._choose_early({name: point}, Serial, 1e-6)
    assert {key: one.length for key, one in early.items()} == {name: 6}
    longest[0] = 0
    assert twins._choose_early({name: point}, Serial, 1e-6) == {}


def test_what_has_losses_at_steps_of_its_own_is_not_shortened() -> None:
    assert [one.config.length for one in twins._shorter(one_point())] == [12, 6, 3, 1]
    assert not list(twins._shorter(one_point(loss={"at": [3, 24]})))
