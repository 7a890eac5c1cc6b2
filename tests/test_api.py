"""The Python API does what the command line does."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import gradflow
from gradflow.errors import NoBaselineError
from gradflow.report.figures.scales import decade_axis, limits

SECTIONS = {
    "name": "small",
    "model": {"cell": "lstm", "hidden": 4},
    "inputs": {"kind": "noise", "sequences": 2},
    "sweep": {"model.cell": ["lstm", "gru"], "length": [5, 9], "seed": 3},
}


@pytest.fixture(scope="module")
def flow():
    return gradflow.run(gradflow.configure(**SECTIONS))


def test_importing_the_package_is_cheap():
    code = (
        "import sys, gradflow; print(gradflow.__version__, 'numpy' in sys.modules, dir(gradflow))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.startswith(f"{gradflow.__version__} False")
    assert "configure" in told.stdout


def test_unknown_names_are_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'flows'"):
        _ = gradflow.flows


def test_quantities_by_label(flow):
    one = flow.get("c", cell="lstm", length=9, seed=2)
    assert one.dims == ("layer", "direction", "sequence", "step")
    assert one.values.shape == (1, 1, 2, 10)
    seeds = flow.get("c", {"model.cell": "lstm"}, length=9)
    assert seeds.dims[0] == "point"
    np.testing.assert_array_equal(seeds.values[2], one.values)
    assert len(flow.select(cell="gru")) == 6
    assert len(flow.points) == 12


def test_what_does_not_exist_says_so(flow):
    with pytest.raises(gradflow.UserError, match="no point has 'c'"):
        flow.get("c", cell="gru")
    with pytest.raises(gradflow.UserError, match="say which `length`"):
        flow.get("h", cell="gru")


def test_summary_rows_and_table(flow, capsys):
    (row,) = flow.summary("h", cell="gru", length=9)
    assert row.seeds == 3
    assert len(flow.rows(every=True)) == 4
    flow.print()
    assert "gru" in capsys.readouterr().out


def test_plot_onto_an_axes(flow):
    ax = Figure().subplots()
    flow.plot(ax, state="h", length=9)
    assert ax.lines


def test_two_flows_share_axes(flow):
    other = gradflow.run(gradflow.configure(**{**SECTIONS, "loss": {"kind": "sum"}}))
    ax = Figure().subplots()
    flow.plot(ax, state="h", length=9)
    low, high = ax.get_ylim()
    other.plot(ax, state="h", length=5)
    lines, labels = ax.get_legend_handles_labels()
    assert len(labels) == len(set(labels))
    assert len({to_hex(line.get_color()) for line in lines}) == len(lines)
    assert len(lines) == 2 * len({point.cell for point in flow.points})
    assert ax.get_ylim()[0] <= low
    assert ax.get_ylim()[1] >= high
    for line in lines:
        assert ax.get_ylim()[0] <= min(line.get_ydata())
        assert ax.get_ylim()[1] >= max(line.get_ydata())


def test_marks_of_formats_do_not_fly_off(flow):
    figure = Figure()
    ax = figure.subplots()
    decade_axis(ax, -400, 0)
    limits(ax)
    limits(ax)
    assert [text.get_text() for text in ax.texts] == ["float64", "float32", "float16"]
    ax.set_ylim(-20, 0)
    renderer = FigureCanvasAgg(figure).get_renderer()
    assert figure.get_tightbbox(renderer).y0 > -0.5  # inches


def test_the_last_line_of_a_notebook_is_a_table(flow):
    assert len(repr(flow)) < 200
    assert repr(flow).startswith("<Flow small: ")
    page = flow._repr_html_()
    assert page.count("<tr>") == 1 + len(flow.rows())
    assert len(page) < 10_000
    assert "vanishes" in page


def test_a_file_runs_by_its_name(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text("model: {cell: cec, hidden: 2}\ninputs: {kind: noise}\nlength: 3\n")
    assert gradflow.run(str(file)).source.name == gradflow.run(file).source.name == "small"


def test_memory_and_disk_hold_the_same(flow, tmp_path):
    stored = gradflow.run(gradflow.configure(**SECTIONS), out=tmp_path, jobs=2)
    again = gradflow.open("small", out=tmp_path)
    for point, kept, opened in zip(flow.points, stored.points, again.points, strict=True):
        want = flow.source.result(point)
        for name, quantity in want.items():
            np.testing.assert_array_equal(stored.source.result(kept)[name].values, quantity.values)
            np.testing.assert_array_equal(again.source.result(opened)[name].values, quantity.values)


def test_check_needs_a_baseline(tmp_path):
    with pytest.raises(NoBaselineError):
        gradflow.check(gradflow.configure(**SECTIONS), out=tmp_path)


@pytest.mark.parametrize("out", [None, "results"])
def test_a_point_that_fails_raises(out, tmp_path):
    exploding = gradflow.configure(
        model={"cell": {"kind": "rnn", "activation": "identity"}, "hidden": 4},
        inputs={"kind": "noise", "sequences": 1},
        init={"recurrent": "identity", "recurrent_gain": 1e10},
        length=100,
        sweep={"seed": 2},
    )
    with pytest.raises(gradflow.NumericalError, match=r"seed=0: the state of rnn.* at step"):
        gradflow.run(exploding, out=out and tmp_path / out)


def test_load_reads_a_file_with_overrides():
    quick = gradflow.load("configs/quickstart.yaml", "model.hidden=8")
    assert quick.model.hidden == 8
    with pytest.raises(gradflow.ConfigError, match=r"did you mean hidden"):
        gradflow.load("configs/quickstart.yaml", "model.hiden=8")
