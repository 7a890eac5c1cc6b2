"""Any recorded quantity as a small table."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import gradflow
from gradflow.cli import app
from gradflow.core.quantity import Quantity
from gradflow.errors import UserError
from gradflow.report.read.digest import digest
from gradflow.report.tables.beside import quantity_data, quantity_sheet
from gradflow.report.tables.layout import print_sheet
from tests.report.fakes import Run, series


def one(lines, **labels):
    (found,) = [x for x in lines if all(x.labels.get(k) == v for k, v in labels.items())]
    return found.values


def text(run, name, encoding="utf-8"):
    out = io.BytesIO()
    file = io.TextIOWrapper(out, encoding=encoding)
    print_sheet(quantity_sheet(digest(run, name), run.name), Console(file=file, width=160))
    file.flush()
    return out.getvalue().decode(encoding)


def test_lags_are_columns_and_numbers_are_medians(tmp_path):
    run = Run(tmp_path)
    steps = np.arange(31.0)
    for seed, height in enumerate((1.0, 5.0, 2.0)):
        values = np.stack([steps + height, steps + height + 10, steps + height - 10])
        run.add("rnn", 30, seed, {"c": series(values[None, None], "c")})
    found = digest(run, "c")
    assert (found.along, found.unit) == ("lag", "log10")
    values = one(found.lines, cell="rnn")
    assert list(values) == ["0", "1", "2", "5", "10", "20", "30"]
    assert list(values.values()) == [32, 31, 30, 27, 22, 12, 2]


def test_undefined_numbers_are_left_out_of_a_median(tmp_path):
    run = Run(tmp_path)
    axes = {"layer": np.arange(1), "direction": np.array(["forward"]), "gate": np.array(["f", "i"])}
    values = np.array([[[[1.0, np.nan, 3.0, 7.0], [np.nan] * 4]]])
    dims = ("layer", "direction", "gate", "sequence")
    run.add("lstm", 8, 0, {"conflict_U": Quantity("conflict_U", dims, values, axes, "1")})
    found = digest(run, "conflict_U")
    assert found.along == "gate"
    values = one(found.lines, cell="lstm")
    assert values["f"] == 3
    assert np.isnan(values["i"])
    assert "–" in text(run, "conflict_U")
    (row,) = quantity_data(found)["rows"]
    assert row == {"cell": "lstm", "values": {"f": 3.0, "i": "nan"}}
    json.dumps(quantity_data(found), allow_nan=False)


def test_a_number_for_each_sequence_is_one_column(tmp_path):
    quantity = Quantity("conflict_V", ("sequence",), np.array([0.25, 0.75, 0.5]), {}, "1")
    run = Run(tmp_path).add("cec", 8, 0, {"conflict_V": quantity})
    (row,) = digest(run, "conflict_V").lines
    assert row.values == {"value": 0.5}
    assert text(run, "conflict_V").startswith("fake · cec · conflict_V\n")


def test_exact_zeros_and_infinities_stay(tmp_path):
    values = np.array([[[[-np.inf, -1.0, np.inf]] * 2]])
    run = Run(tmp_path).add("rnn", 2, 0, {"h": series(values, "h")})
    (row,) = digest(run, "h").lines
    assert row.values == {"0": np.inf, "1": -1, "2": -np.inf}
    shown = text(run, "h")
    for word in ("exact 0", "∞", "−1.00", "fake · rnn · h by lag"):
        assert word in shown
    assert "exact 0" in text(run, "h", "ascii")


@pytest.fixture(scope="module")
def flow():
    record = dict.fromkeys(("paths", "contributions", "gates", "flow_map", "spectrum"), True)
    return gradflow.run(
        gradflow.configure(
            model={"cell": "lstm", "hidden": 7},
            inputs={"kind": "noise", "sequences": 2},
            loss={"kind": "probe", "at": "all"},
            length=40,
            sweep={
                "model.cell": ["rnn", "lstm"],
                "model.bidirectional": [False, True],
                "init.forget_bias": [1.0, 3.0],
                "seed": 2,
            },
            record={"states": ["h", "x"], **record},
        )
    )


def test_every_recorded_quantity_has_a_table(flow):
    names = {name for point in flow.points for name in flow.source.result(point)}
    assert {"path_share", "flow.h", "lyapunov", "gate_mean", "conflict_W"} < names
    for name in names:
        found = digest(flow.source, name)
        assert found.lines, name
        assert name in text(flow.source, name)


def test_axes_become_rows(flow):
    found = digest(flow.source, "gate_mean")
    way = {"model.bidirectional": "true", "init.forget_bias": "3"}
    values = one(found.lines, cell="lstm", gate="f", direction="backward", **way)
    assert 0.9 < values["0"] < 1
    header = text(flow.source, "gate_mean").splitlines()[1]
    assert header.split("  ")[0] == "bidirectional"
    assert "forget bias" in header


def test_vectors_lie_along_the_columns_and_steps_are_thinned(flow):
    found = digest(flow.source, "singular")
    rows = [x for x in found.lines if x.labels["cell"] == "lstm"]
    assert {len(x.labels) for x in rows} == {4}
    assert list(rows[0].values) == ["1", "2", "5", "10", "14"]
    assert len({x.labels["step"] for x in rows}) == 5
    assert digest(flow.source, "lyapunov").unit == "decades/step"
    assert "decades/step; medians" in text(flow.source, "lyapunov")


def test_columns_of_cells_that_differ_are_ordered(flow):
    header = text(flow.source, "singular").splitlines()[1].split()
    assert [int(word) for word in header if word.isdigit()] == [1, 2, 5, 7, 10, 14]


def test_a_flow_map_has_a_row_for_some_losses(flow):
    found = digest(flow.source, "flow.h")
    assert found.along == "step"
    rows = [x for x in found.lines if x.labels["cell"] == "rnn" and "direction" not in x.labels]
    assert {x.labels["loss_step"] for x in rows} == {"40", "30", "20", "11", "1"}


def test_an_unknown_quantity_names_the_known_ones(flow):
    with pytest.raises(
        UserError, match=r"no quantity 'share' was recorded; there is condition, con"
    ):
        digest(flow.source, "share")


def test_show_prints_it_or_gives_json(tmp_path):
    experiment = gradflow.configure(
        name="gates",
        model={"cell": {"kind": "lstm", "coupled": True}, "hidden": 3},
        inputs={"kind": "noise", "sequences": 2},
        length=4,
        record={"states": ["h"], "gates": True},
    )
    gradflow.run(experiment, out=tmp_path)
    words = ["show", "gates", "--results", str(tmp_path), "--quantity", "gate_mean"]
    done = CliRunner().invoke(app, words)
    assert done.stdout.startswith("gates · lstm (coupled) · gate_mean by lag")
    data = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert data["name"] == "gates"
    assert [row["cell"] for row in data["rows"]] == ["lstm (coupled)"] * 3
    assert list(data["rows"][0]["values"]) == ["0", "1", "2", "3"]
