"""The gates beside regression.yaml: green as things are, red where a part of them is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradflow.core.inputs.noise import Noise
from gradflow.core.network.losses import CrossEntropy, MeanSquaredError, Sum
from gradflow.core.network.readout import Readout
from gradflow.core.quantity import Quantity
from gradflow.core.record.contributions import RankOnes
from gradflow.core.record.series import Series
from gradflow.experiment.config import load_config
from gradflow.experiment.measure import setting
from gradflow.experiment.measure.plan import plan
from gradflow.experiment.workers.executor import Serial
from gradflow.gate.baseline import baseline_path, read_baseline
from gradflow.gate.compare import compare
from gradflow.gate.naming import possible_names
from gradflow.gate.sides import run_of_cases
from gradflow.gate.twins import probe

ROOT = Path(__file__).parents[2]
WRONG = 1 + 1e-5

NAMES = sorted(
    path.stem.removeprefix("regression-") for path in ROOT.glob("configs/regression-*.yaml")
)

BIASES = [
    (kind, name, gate)
    for kind, gates in (("rnn", "g"), ("lstm", "ofig"), ("gru", "zrg"))
    for name, gate in [("b", gate) for gate in gates] + [("b_rec", "g")] * (kind == "gru")
]


def findings(name: str) -> list[str]:
    """What the gate finds; every point is measured anew."""
    experiment = load_config(ROOT / "configs" / f"regression-{name}.yaml")
    expected = read_baseline(baseline_path(experiment.name, ROOT / "results"))
    found = probe(experiment, Serial)
    return [one.case for one in compare(expected, found, experiment.check.tolerance)]


@pytest.mark.parametrize("name", NAMES)
def test_as_it_is_all_is_green(name: str) -> None:
    assert findings(name) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_case_could_be_named_before_it_was_measured(name: str) -> None:
    experiment = load_config(ROOT / "configs" / f"regression-{name}.yaml")
    known = {case for one in plan(experiment) for case in possible_names(one.point)}
    expected = read_baseline(baseline_path(experiment.name, ROOT / "results"))
    assert expected.keys() <= known
    assert len(run_of_cases(name, expected).points) == len(plan(experiment))


@pytest.mark.parametrize(("kind", "name", "gate"), BIASES)
def test_a_dropped_bias_is_red(
    kind: str, name: str, gate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = setting.draw_parameters

    def dropping(cell: Any, *rest: Any) -> Any:
        found = right(cell, *rest)
        if cell.kind == kind and name in found:
            bias = found[name].copy()
            every = cell.gates if name == "b" else (gate,)
            bias.reshape(len(every), -1)[every.index(gate)] = 0
            found = {**found, name: bias}
        return found

    monkeypatch.setattr(setting, "draw_parameters", dropping)
    assert {case.partition(" ")[0].partition("(")[0] for case in findings("noise")} == {kind}


@pytest.mark.parametrize(
    ("config", "part", "method"),
    [
        ("noise", Sum, "slope"),
        ("values", MeanSquaredError, "slope"),
        ("classes", CrossEntropy, "slope"),
        ("values", Readout, "vjp"),
        ("classes", Readout, "vjp"),
        ("recordings", RankOnes, "conflict"),
    ],
)
def test_a_scale_is_red(
    config: str, part: type, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(part, method)
    monkeypatch.setattr(part, method, lambda *args: right(*args) * WRONG)
    assert findings(config)


@pytest.mark.parametrize("what", ["path", "contribution", "gate"])
def test_a_recording_that_moves_is_red(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Series.quantity

    def quantity(self: Series, *args: Any) -> Quantity:
        found = right(self, *args)
        moved = found.name.startswith(what)
        return replace(found, values=found.values * WRONG) if moved else found

    monkeypatch.setattr(Series, "quantity", quantity)
    found = {case.partition("=false ")[2].partition("_")[0] for case in findings("recordings")}
    assert found - {""} == {what.partition("_")[0]}


def test_a_backward_direction_that_reads_forward_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    forwards = "gradflow.core.engine.forward.reads"
    monkeypatch.setattr(forwards, lambda direction, x, *rest: x)
    assert findings("noise")


def test_scaled_noise_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Noise.draw

    def draw(self: Noise, *args: Any) -> Any:
        batch = right(self, *args)
        batch.x[:] *= WRONG
        return batch

    monkeypatch.setattr(Noise, "draw", draw)
    assert findings("noise")


def test_swapped_directions_are_red(monkeypatch: pytest.MonkeyPatch) -> None:
    right = setting.draw_parameters

    def swapped(
        cell: Any, inputs: Any, init: Any, seed: Any, layer: int, way: str, *rest: Any
    ) -> Any:
        other = {"forward": "backward", "backward": "forward"}[way]
        return right(cell, inputs, init, seed, layer, other, *rest)

    monkeypatch.setattr(setting, "draw_parameters", swapped)
    assert any("bidirectional=true" in case for case in findings("noise"))
