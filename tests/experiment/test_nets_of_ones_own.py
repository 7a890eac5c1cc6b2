"""Stacks whose layers differ: what the file says is the net, and rows are of what there is."""

from __future__ import annotations

from typing import Any

import pytest

import gradflow
from gradflow.errors import ConfigError
from gradflow.experiment.config import dump
from gradflow.experiment.measure.plan import plan
from gradflow.report.export.tidy import tidy_rows
from gradflow.report.read.digest import digest

DIGITS = {"kind": "digits", "sequences": 2}
LAYERS = [
    {"cell": "lstm", "hidden": 3, "bidirectional": True},
    {"cell": {"kind": "gru", "reset": "after"}, "hidden": 2},
]
PLACES = {(0, "forward"), (0, "backward"), (1, "forward")}


def stack(layers: Any, **more: Any) -> Any:
    return gradflow.configure(model={"layers": layers}, inputs=DIGITS, length=5, **more)


def test_layers_with_cells_of_their_own(tmp_path):
    experiment = stack(LAYERS, record={"states": ["h"], "gates": True, "contributions": True})
    first, second = experiment.model.build(1).layers
    assert (first.cell.kind, first.cell.hidden, first.bidirectional) == ("lstm", 3, True)
    assert (second.cell.kind, second.cell.reset, second.cell.hidden) == ("gru", "after", 2)
    (tmp_path / "again.yaml").write_text(dump(experiment), "utf-8")
    again = gradflow.load(tmp_path / "again.yaml")
    assert [p.hash for p in plan(again)] == [p.hash for p in plan(experiment)]
    flow = gradflow.run(experiment)
    assert {(row.summary.layer, row.summary.direction) for row in flow.rows("h")} == PLACES
    assert {(r.constant[4], r.constant[5]) for r in tidy_rows(flow.source)} == PLACES
    for name in ("h", "gate_mean", "conflict_U"):
        lines = digest(flow.source, name).lines
        assert {(int(one.labels["layer"]), one.labels["direction"]) for one in lines} == PLACES


def test_stacks_are_swept():
    flow = gradflow.run(
        gradflow.configure(
            inputs=DIGITS, length=5, sweep={"model.layers": [LAYERS, ["rnn", "rnn"]]}
        )
    )
    assert [point.axes["model.layers"] for point in flow.points] == [
        "lstm 3 ↔ → gru(reset=after) 2",
        "rnn 32 → rnn 32",
    ]


@pytest.mark.parametrize(
    ("model", "place", "problem"),
    [
        ({"layers": [{"cell": "lstmm"}]}, "model.layers[0].cell", "unknown cell"),
        ({"layers": [{"cell": "rnn", "hiden": 4}]}, "model.layers[0].hiden", "unknown key"),
        ({"layers": ["rnn", {"hidden": 4}]}, "model.layers[1].cell", "cell is missing"),
        ({"layers": []}, "model.layers", "a list where layers belong"),
        ({"layers": ["rnn"], "cell": "rnn"}, "model.cell", "stands beside a list"),
        ({"layers": ["rnn"], "hidden": 4}, "model.hidden", "stands beside a list"),
    ],
)
def test_layers_that_make_no_net(model, place, problem):
    with pytest.raises(ConfigError) as caught:
        gradflow.configure(model=model, inputs=DIGITS, length=5)
    assert f"{place}: " in str(caught.value)
    assert problem in str(caught.value)


def test_keys_of_init_matter_where_any_layer_has_them():
    assert not stack(["lstm", "gru"], init={"bias": {"z": 1.0}}).notes
    (note,) = stack(["lstm", "rnn"], init={"bias": {"z": 1.0}}).notes
    assert "init.bias.z has no effect on lstm → rnn" in note
