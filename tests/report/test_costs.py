"""The table of costs counts what the shapes say."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import gradflow
from gradflow.cli import app
from gradflow.experiment.measure.duration import prices
from gradflow.report.tables.networks import costs_data


@pytest.fixture(scope="module")
def made():
    return gradflow.configure(
        model={"cell": "rnn", "hidden": 16},
        inputs={"kind": "noise", "sequences": 4, "features": 3},
        sweep={"model.cell": ["rnn", "lstm"], "length": [10, 30]},
        record={"states": ["h"], "cost": True},
    )


def test_counts_and_times(made):
    rnn, lstm = prices(made)
    assert (rnn.cell, rnn.length, rnn.sequences) == ("rnn", 30, 4)
    assert rnn.parameters == 16 * (16 + 3 + 1)
    assert lstm.parameters == 4 * rnn.parameters
    assert lstm.counted.forward.products == 4 * rnn.counted.forward.products
    assert rnn.forward > 0
    assert rnn.backward > 0
    assert rnn.path[0] == 30 * rnn.counted.forward.depth
    json.dumps(costs_data([rnn, lstm]), allow_nan=False)


def test_counts_are_stored_where_asked_for(made):
    flow = gradflow.run(made)
    counts = flow.get("cost", cell="lstm", length=30)
    by_name = dict(zip(counts.coords["count"].tolist(), counts.values.tolist(), strict=True))
    assert by_name["parameters"] == 4 * 16 * (16 + 3 + 1)
    longer = flow.get("cost", cell="lstm", length=10)
    path = counts.coords["count"].tolist().index("sequential forward")
    assert counts.values[path] == 3 * longer.values[path]


def test_the_command_prints_a_row_for_each_cell(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    shown = CliRunner().invoke(app, ["cost", "configs/cost.yaml", "model.hidden=8", "length=10"])
    assert shown.exit_code == 0, shown.output
    for cell in ("rnn", "cec", "gru", "lstm (coupled)", "lstm (peephole=full)"):
        assert cell in shown.stdout
    assert "measured here" in shown.stdout
    told = CliRunner().invoke(app, ["cost", "configs/cost.yaml", "--json"])
    assert [row["cell"] for row in json.loads(told.stdout)][:2] == ["rnn", "cec"]
