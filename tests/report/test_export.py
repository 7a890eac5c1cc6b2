from __future__ import annotations

import csv
import gzip
import io
import sys

import numpy as np
import pytest

from gradflow.errors import UserError
from gradflow.report.export import write as module
from gradflow.report.export.tidy import LAST, NAMES, PLACES, columns, tidy_rows
from gradflow.report.export.write import export
from tests.report.fakes import Run, line, series, walk

pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path)
    for seed, slope in ((0, -0.1), (7, -1 / 3)):
        result = {"s": line(slope, 4, sequences=2), "h": line(slope, 4, sequences=2, name="h")}
        run.add("lstm", 4, seed, result, init__recurrent_gain=0.5, model__cell__coupled=True)
    return run


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_rows_of_csv_on_standard_output(run, capsys):
    assert export(run) == 2 * 2 * 2 * 5
    text = capsys.readouterr().out
    assert text.splitlines()[0] == (
        "init.recurrent_gain,model.cell.coupled,cell,length,seed,sequence,layer,direction,"
        "state,step,lag,log10_norm"
    )
    assert text.splitlines()[1] == "0.5,true,lstm,4,0,0,0,forward,s,0,4,-0.4"
    assert "\r" not in text
    assert len(read(text)) == 40


def test_numbers_come_back_bit_for_bit(run, tmp_path):
    export(run, "csv", tmp_path / "rows.csv")
    rows = read((tmp_path / "rows.csv").read_text())
    found = [float(row["log10_norm"]) for row in rows if row["state"] == "s" and row["seed"] == "7"]
    assert found == run.result(run.points[1])["s"].values.ravel().tolist()


def test_exact_zeros_and_steps_after_the_loss(tmp_path, capsys):
    quantity = series([[[[-1.5, 0.0, -np.inf]]]], lag=[[1, 0, -1]])
    export(Run(tmp_path).add("rnn", 2, 0, {"s": quantity}))
    assert [line.split(",")[-3:] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["0", "1", "-1.5"],
        ["1", "0", "0.0"],
        ["2", "-1", "-inf"],
    ]


def test_a_backward_direction_is_exported_in_original_time(tmp_path, capsys):
    values = walk(-0.5, 3, 0, sequences=1, directions=("forward", "backward"))
    export(Run(tmp_path).add("rnn", 3, 0, {"s": values}))
    rows = read(capsys.readouterr().out)
    steps = {
        way: [(int(r["step"]), int(r["lag"])) for r in rows if r["direction"] == way]
        for way in ("forward", "backward")
    }
    assert steps["forward"] == [(0, 3), (1, 2), (2, 1), (3, 0)]
    assert steps["backward"] == [(4, 3), (3, 2), (2, 1), (1, 0)]


def test_what_is_not_a_norm_along_time_has_columns_of_its_own(tmp_path, capsys):
    kind = type(line(0, 1))
    lag = np.array([[1, 0]])
    axes = {"layer": np.arange(1), "direction": np.array(["forward"]), "step": np.arange(2)}
    result = {
        "h": line(-1, 1, sequences=1, name="h"),
        "gate_mean": kind(
            "gate_mean",
            ("layer", "direction", "gate", "sequence", "step"),
            np.full((1, 1, 2, 1, 2), 0.25),
            axes | {"gate": np.array(["f", "i"]), "lag": lag},
            "1",
        ),
        "flow.h": kind(
            "flow.h",
            ("layer", "direction", "sequence", "loss_step", "step"),
            np.full((1, 1, 1, 1, 2), -2.0),
            axes | {"loss_step": np.array([1])},
        ),
        "lyapunov": kind("lyapunov", ("sequence", "vector"), np.zeros((1, 2)), {}, "decades/step"),
        "singular": kind(
            "singular",
            ("sequence", "step", "vector"),
            np.full((1, 2, 1), -3.0),
            {"step": np.arange(2), "lag": lag[0]},
        ),
    }
    result["cost"] = kind("cost", ("count",), np.array([5.0]), {"count": np.array(["tape"])}, "1")
    result["bias"] = kind("bias", ("k2",), np.array([0.5]), {"k2": np.array([8])}, "1")
    run = Run(tmp_path).add("lstm", 1, 0, result)
    assert export(run) == 2 + 4 + 2 + 2 + 2 + 1 + 1
    rows = read(capsys.readouterr().out)
    assert list(rows[0]) == [*NAMES, *PLACES, *LAST]
    told = [
        tuple(row[n] for n in ("state", "step", "lag", "log10_norm", *PLACES, *LAST))
        for row in rows
    ]
    assert told[0] == ("h", "0", "1", "-1.0", "", "", "", "", "", "", "")
    assert told[2] == ("gate_mean", "0", "1", "", "f", "", "", "", "", "", "0.25")
    assert told[4] == ("gate_mean", "0", "1", "", "i", "", "", "", "", "", "0.25")
    assert told[6] == ("flow.h", "0", "", "-2.0", "", "1", "", "", "", "", "")
    assert told[9] == ("lyapunov", "", "", "", "", "", "1", "", "", "", "0.0")
    assert told[11] == ("singular", "1", "0", "-3.0", "", "", "0", "", "", "", "")
    assert told[12] == ("cost", "", "", "", "", "", "", "", "", "tape", "5.0")
    assert told[13] == ("bias", "", "", "", "", "", "", "8", "", "", "0.5")
    assert export(run, "parquet", tmp_path / "rows.parquet") == len(rows)
    table = pq.read_table(tmp_path / "rows.parquet")
    assert table.column("gate").to_pylist()[2:4] == ["f", "f"]
    assert table.column("value").to_pylist()[9] == 0.0
    assert table.column("layer").to_pylist()[9] is None


def test_results_are_read_one_by_one(run):
    rows = tidy_rows(run)
    next(rows)
    assert run.loads == 1


def test_axes_that_some_points_lack_and_composed_values(tmp_path, capsys):
    run = Run(tmp_path).add("cec", 1, 0, {"s": line(0, 1, sequences=1)})
    run.add("lstm", 1, 0, {"s": line(0, 1, sequences=1)}, init__forget_bias={"chrono": 100})
    export(run)
    rows = read(capsys.readouterr().out)
    assert [row["init.forget_bias"] for row in rows] == ["", "", *['{"chrono": 100}'] * 2]


def test_parquet_holds_the_same_rows_typed(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "GROUP", 15)
    assert export(run, "parquet", tmp_path / "rows.parquet") == 40
    table = pq.read_table(tmp_path / "rows.parquet")
    assert tuple(table.column_names) == columns(run)
    assert str(table.schema.field("init.recurrent_gain").type) == "double"
    assert str(table.schema.field("model.cell.coupled").type) == "bool"
    export(run)
    rows = read(capsys.readouterr().out)
    for name in NAMES:
        column = table.column(name).to_pylist()
        kind = type(column[0])
        assert [kind(row[name]) for row in rows] == column
    assert list(tmp_path.glob(".*")) == []


def test_parquet_of_mixed_and_missing_axis_values(tmp_path):
    run = Run(tmp_path)
    for bias, scale in ((1, 1), ({"chrono": 9}, 0.5)):
        result = {"s": line(-1, 1, sequences=1)}
        run.add("lstm", 1, 0, result, init__forget_bias=bias, inputs__scale=scale)
    run.add("lstm", 1, 0, {"s": line(-1, 1, sequences=1)}, loss__at=(1, 2))
    export(run, "parquet", tmp_path / "rows.parquet")
    table = pq.read_table(tmp_path / "rows.parquet")
    bias = ["1", "1", '{"chrono": 9}', '{"chrono": 9}', None, None]
    assert table.column("init.forget_bias").to_pylist() == bias
    assert table.column("inputs.scale").to_pylist() == [1.0, 1.0, 0.5, 0.5, None, None]
    assert table.column("loss.at").to_pylist() == [None] * 4 + ["[1, 2]"] * 2


def test_values_that_json_does_not_know_are_written_as_text(tmp_path, capsys):
    run = Run(tmp_path).add("rnn", 0, 0, {"s": line(0, 0)}, odd__axis={"a": range(2), "b": {1}})
    export(run)
    assert '{"a": [0, 1], "b": "{1}"}' in read(capsys.readouterr().out)[0]["odd.axis"]


@pytest.mark.parametrize("label", ["=1+1", "+x", "-x", "@x", "a\rb", "\x1b[2J"])
def test_a_label_is_one_harmless_cell(tmp_path, capsys, label):
    export(Run(tmp_path).add("rnn", 0, 0, {"s": line(0, 0)}, loss__at=label))
    row = read(capsys.readouterr().out)[0]
    assert row["loss.at"].isprintable()
    assert row["loss.at"][0] not in "=+-@"


def test_what_cannot_be_written_is_the_users_error(run, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"no format 'xlsx'; there is csv, csv\.gz, parquet"):
        export(run, "xlsx")
    with pytest.raises(UserError, match="parquet is not text"):
        export(run, "parquet")
    with pytest.raises(UserError, match=r"--to csv, but .*rows.parquet ends in .parquet"):
        export(run, "csv", tmp_path / "rows.parquet")
    with pytest.raises(UserError, match=r"rows.txt: nothing says what to write\n.*\n.*rows.csv"):
        export(run, out=tmp_path / "rows.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="no such folder\n  fix: make it"):
        export(run, "csv", tmp_path / "file" / "rows.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"needs pyarrow.*\n.*gradflow-rnn\[parquet\]"):
        export(run, "parquet", tmp_path / "rows.parquet")


def test_the_suffix_says_the_format(run, tmp_path):
    assert export(run, out=tmp_path / "rows.csv") == export(run, out=tmp_path / "rows.csv.gz")
    assert export(run, out=tmp_path / "rows") == export(run, "csv", tmp_path / "rows2")
    packed = (tmp_path / "rows.csv.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "rows.csv").read_bytes()
    export(run, out=tmp_path / "again.csv.gz")
    assert (tmp_path / "again.csv.gz").read_bytes() == packed


def test_a_failed_export_leaves_nothing_behind(run, tmp_path, monkeypatch):
    def fail(_):
        raise RuntimeError

    monkeypatch.setattr(Run, "result", lambda *_: fail(0))
    with pytest.raises(RuntimeError):
        export(run, "csv", tmp_path / "rows.csv")
    assert not [path for path in tmp_path.iterdir() if "rows" in path.name]
