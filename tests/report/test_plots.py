from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

import gradflow
from gradflow.errors import UserError
from gradflow.report.figures import KINDS, PAPERS, Kind, draw_curves, plot, register
from gradflow.report.figures.canvas import Setup, thin_out
from gradflow.report.figures.margins import legend_columns
from gradflow.report.figures.output import ORDINARY, private_style
from gradflow.report.figures.panels import facets
from gradflow.report.figures.scales import whole_axis
from gradflow.report.figures.sites import at_greatest_length, words
from gradflow.report.figures.style import by_cell, hue, literal, look, looks, ramp
from gradflow.report.figures.traces import LAGS, norm_curves
from gradflow.report.format import cell_name, wrap
from gradflow.report.read.bands import quantile
from gradflow.report.read.rows import where
from tests.report.fakes import Run, line, series, sweep, walk

LENGTHS = (4, 16, 64)
CELLS = ["rnn", "cec", "lstm"]


@pytest.fixture
def run(tmp_path):
    return sweep(tmp_path, cells=3, lengths=LENGTHS, seeds=2, sequences=3)


def figure(run, kind="curves", state="s", x="lag", paper=ORDINARY):
    with private_style(paper.size):
        found = norm_curves(run, [state])[state]
        return KINDS[kind].draw(found, state, Setup(x, paper=paper, fits=paper is not ORDINARY))


def gains(path, values=(0.5, 1.0, 2.0), cells=("rnn",), lengths=(16,), **more):
    run = Run(path)
    for cell in cells:
        for value in values:
            for length in lengths:
                for seed in range(2):
                    result = {"s": walk(-0.2, length, seed)}
                    run.add(cell, length, seed, result, init__recurrent_gain=value, **more)
    return run


def axes_of(fig):
    return [ax for ax in fig.axes if ax.get_subplotspec() and ax.get_label() != "<colorbar>"]


def texts(fig):
    return " ".join(t.get_text().replace("\n", " ") for t in fig.findobj(matplotlib.text.Text))


def test_there_is_a_figure_for_each_state(run, tmp_path):
    paths = plot(run, "slope", formats=("svg", "svg"), out=tmp_path / "out")
    assert [path.name for path in paths] == ["slope-h.svg", "slope-s.svg", "slope-c.svg"]


FORMATS = {"curves": ("png", "svg", "pdf"), "length": ("svg",), "slope": ("svg",)}


@pytest.mark.parametrize("kind", ["curves", "length", "slope", "heatmap"])
def test_every_kind_of_norms_is_the_same_bytes_when_redrawn(tmp_path, kind):
    run = sweep(tmp_path, cells=2, lengths=(4, 16), seeds=2, sequences=3)
    every = {"state": "s", "formats": FORMATS.get(kind, ("svg", "png"))}
    first = plot(run, kind, out=tmp_path / "a", **every)
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": "x", "lines.linewidth": 9}):
        second = plot(run, kind, out=tmp_path / "b", **every)
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert a.read_bytes().startswith(starts[a.suffix])
        for stamp in (b"Matplotlib v", b"CreationDate", b"<dc:date>", b"matplotlib.org"):
            assert stamp not in a.read_bytes()
    ET.parse(next(path for path in first if path.suffix == ".svg"))


def test_the_users_settings_stay_as_they_were(run, tmp_path):
    with matplotlib.rc_context({"font.size": 20}):
        plot(run, state="s", formats=("svg",))
        assert matplotlib.rcParams["font.size"] == 20
    assert (run.path / "plots" / "curves-s.svg").is_file()


def test_matplotlib_waits_until_something_is_drawn():
    code = (
        "import sys, gradflow.report.figures as p; assert 'matplotlib' not in sys.modules;"
        "from gradflow.report.figures.kinds import curves;"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_suffix_names_the_one_file(run, tmp_path):
    assert plot(run, state="c", out=tmp_path / "mine.pdf") == [tmp_path / "mine.pdf"]
    with pytest.raises(UserError, match="no such folder"):
        plot(run, state="c", out=tmp_path / "x" / "mine.pdf")
    with pytest.raises(UserError, match=r"fig.jpg: figures are written as png.*\n.*fig.png"):
        plot(run, state="c", out=tmp_path / "fig.jpg")
    with pytest.raises(UserError, match=r"its name says png, the formats asked for are pdf"):
        plot(run, state="c", out=tmp_path / "fig.png", formats=("pdf",))
    (tmp_path / "v1.2").mkdir()
    assert len(plot(run, state="c", out=tmp_path / "v1.2")) == 2
    with pytest.raises(UserError, match="a figure for each state: h, s, c"):
        plot(run, out=tmp_path / "mine.pdf")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "pie"}, "no kind 'pie'; there is curves, length, slope, heatmap"),
        ({"x": "time"}, "no x 'time'; there is lag, step"),
        ({"formats": ("gif",)}, "curves stands still; what moves, and can be a gif, is training"),
        ({"state": "z"}, "no state 'z' was recorded"),
    ],
)
def test_unknown_names(run, options, message):
    with pytest.raises(UserError, match=message):
        plot(run, **options)


def test_a_figure_by_step_is_a_file_of_its_own(run, tmp_path):
    (lag,) = plot(run, state="s", out=tmp_path / "o", formats=("svg",))
    (step,) = plot(run, x="step", state="s", out=tmp_path / "o", formats=("svg",))
    assert (lag.name, step.name) == ("curves-s.svg", "curves-s-step.svg")
    with pytest.raises(UserError, match="kind slope is not drawn over steps; of those there are"):
        plot(run, "slope", "step")


def test_a_part_of_a_run_is_drawn(run, tmp_path):
    only = {"state": "s", "formats": ("svg",), "out": tmp_path / "o"}
    (path,) = plot(run, where=["cell=cec,lstm", "length=64"], **only)
    text = path.read_text()
    assert "cec" in text
    assert ">rnn<" not in text
    assert "T = 16" not in text
    for wrong, message in (
        ("cell=lstn", "did you mean lstm"),
        ("length", "no value"),
        ("sell=lstm", "did you mean cell"),
    ):
        with pytest.raises(UserError, match=message):
            plot(run, where=[wrong], **only)
    assert where(run, []) is run
    part = where(sweep(tmp_path, cells=5), ["cell=lstm (coupled)"])
    assert {point.cell for point in part.points} == {"lstm(coupled)"}


def test_a_cell_keeps_its_look_in_a_part_of_a_run(run):
    cells = tuple(dict.fromkeys(point.cell for point in run.points))
    part = norm_curves(where(run, ["cell=lstm"]), ["s"])["s"]
    whole = norm_curves(run, ["s"])["s"]
    assert hue(part, cells).line("lstm") == hue(whole, cells).line("lstm")


@pytest.mark.parametrize(
    "paper",
    [pytest.param(p, marks=pytest.mark.extras if p in ("neurips", "ieee") else ()) for p in PAPERS],
)
def test_a_figure_for_a_venue_has_its_width_and_sizes(tmp_path, paper):
    run = sweep(tmp_path, cells=12, lengths=(64,), seeds=1)
    (path,) = plot(run, state="s", paper=paper, out=tmp_path / "one.svg")
    asked = PAPERS[paper]
    root = ET.parse(path).getroot()
    assert float(root.get("width").removesuffix("pt")) == pytest.approx(72 * asked.column, abs=0.5)
    sizes = [
        float(size) for size in re.findall(r"font(?:-size)?: [a-z ]*([\d.]+)px", path.read_text())
    ]
    assert max(sizes) <= 1.01 * asked.size
    assert min(sizes) >= 0.45 * asked.size  # exponents
    with pytest.raises(UserError, match="did you mean icml"):
        plot(run, state="s", paper="iclm")


def test_title_and_small_print_are_as_asked_and_text_is_text(run, tmp_path):
    (path,) = plot(
        run, state="s", title="Where it dies", notes=False, where=["length=64"],
        out=tmp_path / "a.svg",
    )  # fmt: skip
    text = path.read_text()
    assert ">Where it dies</text>" in text
    assert "median" not in text
    assert "T = 64" not in text
    assert f"gradflow {gradflow.__version__}, run quickstart where length=64" in text
    (plain,) = plot(run, state="s", where=["length=64"], out=tmp_path / "b.png")
    assert b"quickstart: curves-s" in plain.read_bytes()[:300]


def test_a_place_that_cannot_be_written(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file, not a folder"):
        plot(run, state="s", out=tmp_path / "file")


@pytest.mark.parametrize("kind", ["length", "heatmap"])
def test_kinds_that_need_several_lengths_say_so(tmp_path, kind):
    run = sweep(tmp_path, cells=2, lengths=(8,), seeds=1)
    with pytest.raises(UserError, match=f"kind {kind} needs more than one length"):
        plot(run, kind)


def test_a_kind_can_be_added(run, tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "twin", None)
    register(Kind("twin", "the curves again", "gradflow.report.figures.kinds.curves"))
    assert plot(run, "twin", state="s", formats=("svg",))[0].name == "twin-s.svg"


def test_curves_have_a_panel_for_each_length_and_a_line_for_each_cell(run):
    fig = figure(run)
    assert [ax.get_title("left") for ax in axes_of(fig)] == ["T = 4", "T = 16", "T = 64"]
    for ax in axes_of(fig):
        assert ax.get_legend_handles_labels()[1] == CELLS
    assert [text.get_text().strip() for text in fig.legends[0].get_texts()] == CELLS
    assert "median and 10–90 % of 2 seeds × 3 sequences" in texts(fig)


def test_the_line_is_the_median_over_seeds_and_sequences(run):
    ax = axes_of(figure(run))[0]
    every = np.concatenate(
        [run.result(p)["s"].values[0, 0] for p in run.points if (p.cell, p.length) == ("rnn", 4)]
    )
    (drawn,) = [one for one in ax.lines if one.get_label() == "rnn"]
    np.testing.assert_array_equal(drawn.get_xdata(), np.arange(5))
    np.testing.assert_allclose(drawn.get_ydata(), np.median(every, axis=0)[::-1], rtol=1e-12)


def test_steps_are_drawn_in_original_time(tmp_path):
    values = walk(-1.0, 5, 0, directions=("forward", "backward"))
    fig = figure(Run(tmp_path).add("rnn", 5, 0, {"s": values}), x="step")
    (ax,) = axes_of(fig)
    forward, backward = (
        next(line for line in ax.lines if line.get_label() == way)
        for way in ("forward", "backward")
    )
    assert sorted(forward.get_xdata()) == [0, 1, 2, 3, 4, 5]
    assert sorted(backward.get_xdata()) == [1, 2, 3, 4, 5, 6]
    assert backward.get_xdata()[0] == 1  # lag 0: the last loss it reads


def test_exact_zeros_are_marked_and_formats_are_named(tmp_path):
    values = line(-0.8, 30).values.copy()
    values[..., :12] = -np.inf
    run = Run(tmp_path).add("rnn", 30, 0, {"s": series(values)})
    run.add("gru", 30, 0, {"s": series(np.full((1, 1, 1, 31), -np.inf))})
    fig = figure(run)
    assert "× at the bottom, and the line from it: exactly 0" in texts(fig)
    assert "float16" in texts(fig)
    assert "dotted: here the range of the format ends" in texts(fig)
    assert sum(one.get_marker() == "x" for one in fig.axes[0].lines) == 2


def test_a_line_never_crosses_what_is_exactly_zero(tmp_path):
    """Two losses at a distance: what lies between them is zero, and what lies before is not."""
    values = line(-0.1, 40).values.copy()
    values[..., 26:40] = -np.inf  # lags 1 to 14
    values[..., 3] = -np.inf
    values[..., 5] = -np.inf
    (ax,) = figure(Run(tmp_path).add("rnn", 40, 0, {"s": series(values)})).axes
    curve = next(one for one in ax.lines if one.get_label() == "rnn")
    drawn = dict(zip(curve.get_xdata(), curve.get_ydata(), strict=True))
    assert {lag for lag, y in drawn.items() if np.isnan(y)} == {*range(1, 15), 35, 37}
    marks = next(one for one in ax.lines if one.get_marker() == "x")
    assert sorted(marks.get_xdata()) == [1, 35, 37]
    dots = next(one for one in ax.lines if one.get_marker() == "o")
    assert sorted(dots.get_xdata()) == [0, 36]  # a line of one step is none


def test_a_cell_looks_the_same_in_every_figure_of_a_run(tmp_path):
    run = sweep(tmp_path, cells=12, lengths=(8, 16), seeds=1)
    cells = tuple(dict.fromkeys(point.cell for point in run.points))
    seen: dict[str, set[object]] = {}
    for state in ("s", "c"):
        for kind in ("curves", "length"):
            with private_style():
                found = norm_curves(run, [state])[state]
                drawn = KINDS[kind].draw(found, state, Setup(cells=cells))
            if kind == "curves":
                for one in drawn.axes[0].lines:
                    seen.setdefault(str(one.get_label()), set()).add(one.get_color())
    assert set(seen) >= {cell_name(cell) for cell in cells}
    assert all(len(colours) == 1 for colours in seen.values())
    assert len(set(looks(cells).values())) == 12
    assert len({look(i)["color"] for i in looks(cells).values()}) == 12
    assert looks(["gru", "lstm"]).items() <= looks(cells).items()


def test_lines_that_lie_on_one_another_take_turns(tmp_path):
    run = Run(tmp_path)
    for cell, slope in (("rnn", -0.1), ("lstm", -0.1001), ("gru", -0.5)):
        run.add(cell, 40, 0, {"s": line(slope, 40)})
    fig = figure(run)
    lines = {one.get_label(): one for one in fig.axes[0].lines}
    assert "take turns" in texts(fig)
    rnn, lstm = (lines[cell]._unscaled_dash_pattern for cell in ("rnn", "lstm"))
    assert rnn[1] == lstm[1] == (3.0, 3.0)
    assert rnn[0] != lstm[0]


def test_lines_that_part_after_many_close_steps_keep_their_dashes(tmp_path):
    run, lag = Run(tmp_path), np.array([1000, 100, *reversed(range(20))])
    for cell, slope in (("rnn", -0.01), ("lstm", -0.02)):
        norm = series(slope * lag[None, None, None], lag=lag[None], step=1000 - lag)
        run.add(cell, 1000, 0, {"s": norm})
    assert "take turns" not in texts(figure(run))


def test_an_exponential_is_straight_against_length(tmp_path):
    fig = figure(sweep(tmp_path, cells=2, lengths=(8, 16, 64, 256), seeds=1), "length")
    (ax,) = fig.axes
    assert ax.get_xscale() == "linear"
    assert "s_0" in ax.get_ylabel()


def test_a_heat_map_of_a_sweep_has_a_row_for_each_value(tmp_path):
    run = gains(tmp_path, (0.5, 0.75, 1.0, 1.5, 2.0), ("rnn", "gru"), (16,))
    fig = figure(run, "heatmap")
    assert "of 5 values" not in texts(fig)
    assert [text.get_text() for text in fig.axes[0].get_yticklabels()] == [
        "2", "1.5", "1", "0.75", "0.5",
    ]  # fmt: skip
    assert fig.axes[0].get_ylabel() == "recurrent gain"


def test_a_figure_of_nothing_but_zeros_and_of_single_steps(tmp_path):
    zeros = Run(tmp_path).add("gru", 3, 0, {"s": series(np.full((1, 1, 1, 4), -np.inf))})
    assert axes_of(figure(zeros))
    assert axes_of(figure(zeros, "slope"))
    point = Run(tmp_path).add("gru", 1, 0, {"s": series([[[[0.0]]]])})
    fig = figure(point)
    assert fig.axes[0].get_ylim()[0] < -1
    assert "median" not in texts(fig)
    zeros.add("gru", 5, 0, {"s": series(np.full((1, 1, 1, 6), -np.inf))})
    assert "exactly 0" in texts(figure(zeros, "length"))
    assert "black: exactly 0" in texts(figure(zeros, "heatmap"))


def test_a_flat_curve_still_spans_two_decades(tmp_path):
    fig = figure(Run(tmp_path).add("cec", 9, 0, {"s": line(0.0, 9)}))
    low, high = fig.axes[0].get_ylim()
    assert high - low > 2


def test_many_lengths_are_thinned_and_it_says_so(tmp_path):
    fig = figure(sweep(tmp_path, cells=2, lengths=range(2, 22, 2), seeds=1))
    assert len(axes_of(fig)) == 6
    assert [ax.get_title("left") for ax in axes_of(fig)][::5] == ["T = 2", "T = 20"]
    assert "6 of 10 lengths" in texts(fig)


def test_a_panel_above_a_gap_keeps_its_ticks(tmp_path):
    fig = figure(sweep(tmp_path, cells=2, lengths=(8,), seeds=1, layers=1), "curves")
    assert axes_of(fig)[0].get_xlabel().startswith("lag")
    run = gains(tmp_path, cells=("rnn", "gru", "cec", "lstm", "a"), values=(0, 1, 2, 3, 4, 5))
    fig = figure(run)
    written = [any(t.get_text() for t in ax.get_xticklabels()) for ax in axes_of(fig)]
    assert written == [False, False, True, True, True]
    assert [bool(ax.get_xlabel()) for ax in axes_of(fig)] == [False] * 5
    assert "lag (steps back from the last loss)" in texts(fig)


def test_a_swept_number_colours_the_curves(tmp_path):
    run = gains(tmp_path, np.linspace(0.5, 2.5, 9).tolist())
    fig = figure(run)
    assert [ax.get_ylabel() for ax in fig.axes if ax.get_label() == "<colorbar>"] == [
        "recurrent gain"
    ]
    lines = [one for one in axes_of(fig)[0].lines if len(one.get_xdata()) > 2]
    assert len({str(one.get_color()) for one in lines}) == 9
    assert not fig.legends
    few = figure(gains(tmp_path))
    assert few.legends[0].get_title().get_text() == "recurrent gain"


def test_cells_get_panels_where_colour_is_taken(tmp_path):
    fig = figure(gains(tmp_path, cells=("rnn", "gru"), lengths=(8, 16)))
    assert [ax.get_title("left") for ax in axes_of(fig)] == ["rnn", "gru", "", ""]
    assert [ax.get_ylabel() for ax in axes_of(fig)] == ["T = 8", "", "T = 16", ""]


def test_two_swept_axes(tmp_path):
    run = gains(tmp_path, inputs__scale=1.0)
    for gain in (0.5, 1.0, 2.0):
        result = {"s": walk(-0.1, 16, 3)}
        run.add("rnn", 16, 0, result, init__recurrent_gain=gain, inputs__scale=0.0)
    fig = figure(run)
    assert [ax.get_title("left") for ax in axes_of(fig)] == ["scale 1", "scale 0"]
    assert "rnn, T = 16" in texts(fig)
    assert fig.legends[0].get_title().get_text() == "recurrent gain"


def test_truth_values_are_no_numbers(tmp_path):
    bands = norm_curves(gains(tmp_path, (False, True)))["s"]
    assert hue(bands).numbers == ()
    assert hue(bands).keys == ("false", "true")


def test_names_are_not_taken_for_mathematics(tmp_path):
    run = gains(tmp_path, ("a$b", "_c", "$x^2$", r"\frac"))
    labels = [text.get_text() for text in figure(run).legends[0].get_texts()]
    assert labels == [r" a\$b", " _c", r" \$x^2\$", r" \frac"]
    assert literal("$") == r"\$"
    plot(run, "slope", formats=("svg",))


def test_what_does_not_vary_is_said_once_and_layers_are_colours(tmp_path):
    fig = figure(sweep(tmp_path, cells=1, lengths=(8,), seeds=1, sequences=2, layers=3))
    assert len(axes_of(fig)) == 1
    assert "rnn, T = 8" in texts(fig)
    assert fig.legends[0].get_title().get_text() == "layer"


def test_too_many_panels_are_thinned(tmp_path):
    run = sweep(tmp_path, cells=1, lengths=(8,), seeds=1, sequences=2, layers=15)
    grid = facets(norm_curves(run)["s"], {"cell"})
    assert len(grid.panels) == 12
    assert grid.note == "12 of 15 layers"
    assert (grid.title(grid.panels[0]), grid.title(grid.panels[-1])) == ("layer 0", "layer 14")


def test_the_longest_only_where_places_fill_the_page(tmp_path):
    run = sweep(tmp_path, cells=1, lengths=(8, 16), seeds=1, sequences=2, layers=5)
    grid = facets(norm_curves(run)["s"], {"cell"})
    assert {panel.sites[0].length for panel in grid.panels} == {16}
    assert grid.note == "the longest of 2 lengths"
    assert grid.heading == "rnn, T = 16"


def deep(path, cells=("lstm",), layers=(1, 2, 3), both=(False, True), length=12):
    """A stack in one direction or both, as a sweep gives it."""
    run = Run(path)
    for cell in cells:
        for n in layers:
            for way in both:
                ways = ("forward", "backward") if way else ("forward",)
                result = {"s": walk(-0.2, length, n, layers=n, directions=ways)}
                run.add(cell, length, 0, result, model__layers=n, model__bidirectional=way)
    return run


def test_rows_are_layers_and_columns_directions(tmp_path):
    fig = figure(deep(tmp_path))
    axes = axes_of(fig)
    titles = ["one direction →", "both directions →", "both directions ←"]
    assert [ax.get_title("left") for ax in axes] == titles + 6 * [""]
    assert [ax.get_ylabel() for ax in axes[::3]] == ["layer 0", "layer 1", "layer 2"]
    assert len({ax.get_ylim() for ax in axes}) == 1
    assert fig.legends[0].get_title().get_text() == "layers"
    assert "lstm, T = 12" in texts(fig)
    assert texts(fig).count("lag (steps back") == 1


def test_of_too_much_a_sensible_part_is_shown(tmp_path):
    run = deep(tmp_path, [f"cell{i}" for i in range(9)], (1, 2), (False,))
    grid = facets(norm_curves(run)["s"], {hue(norm_curves(run)["s"]).axis})
    assert grid.note == "the lowest of 2 layers"
    assert len(grid.panels) == 9
    grid = facets(norm_curves(run)["s"], {"length"})
    assert grid.note == "the lowest of 2 layers; the last of 2 values of layers"
    assert grid.heading == "T = 12, 2 layers, layer 0" or grid.heading.startswith("2 layers")


def test_a_grid_with_many_gaps_is_laid_out_in_lines(tmp_path):
    run = deep(tmp_path, layers=(1,))
    grid = facets(norm_curves(run)["s"], {"cell"})
    titles = [grid.title(panel) for panel in grid.panels]
    assert titles == ["one direction →", "both directions →", "both directions ←"]
    assert not grid.rows


def test_panels_of_one_length_share_their_scale_unless_that_presses_them_flat(tmp_path):
    run = gains(tmp_path, cells=("rnn", "gru"), lengths=(8, 64))
    by_length = {}
    for ax, length in zip(axes_of(figure(run)), (8, 8, 64, 64), strict=True):
        by_length.setdefault(length, set()).add(ax.get_ylim())
    assert [len(ends) for ends in by_length.values()] == [1, 1]
    assert by_length[8] != by_length[64]
    for value in (0.5, 1.0, 2.0):
        steep = {"s": walk(-9.0, 64, 1)}
        run.add("steep", 64, 0, steep, init__recurrent_gain=value)
    cells = {p.cell for p in run.points}
    ends = {ax.get_ylim() for ax in axes_of(figure(run))}
    assert len(cells) == 3
    assert len(ends) > 2


LONG = "lstm(peephole=full, peephole_gates=f+i, coupled, an_option=that_does_not_end)"


def overlaps(fig, paper=ORDINARY):
    """Texts that lie on another or leave the figure, as drawn."""
    with private_style(paper.size):
        fig.draw_without_rendering()
    legend = [text for one in fig.legends for text in (*one.get_texts(), one.get_title())]
    shown = [*fig.texts, *legend]
    for ax in fig.axes:
        ticks = [t for axis in (ax.xaxis, ax.yaxis) for t in axis._update_ticks()]
        shown += [label for t in ticks for label in (t.label1, t.label2)]
        shown += [ax._left_title, ax.xaxis.label, ax.yaxis.label]
    shown = [text for text in shown if text.get_visible() and text.get_text()]
    boxes = [(t.get_text(), t.get_window_extent()) for t in shown]
    boxes = [(text, box) for text, box in boxes if box.width and box.height]
    found = [
        (a, b)
        for i, (a, one) in enumerate(boxes)
        for b, other in boxes[i + 1 :]
        if one.overlaps(other)
        and min(one.x1, other.x1) - max(one.x0, other.x0) > 1
        and min(one.y1, other.y1) - max(one.y0, other.y0) > 1
    ]
    left = [t for t, b in boxes if b.x0 < -1 or b.y0 < -1 or b.x1 > fig.bbox.x1 + 1]
    return found, left + [t for t, b in boxes if b.y1 > fig.bbox.y1 + 1]


@pytest.mark.parametrize("kind", ["curves", "slope", "length", "heatmap"])
def test_no_text_overlaps_another_however_long(tmp_path, kind):
    run = Run(tmp_path)
    for cell in (LONG, LONG + LONG, LONG.replace(" ", ""), "rnn"):
        for value in ("a", "b " * 30, 3, 4, 5):
            for length in (8, 16):
                run.add(cell, length, 0, {"s": walk(-0.2, length, 0)}, init__an_axis=value)
    assert overlaps(figure(run, kind)) == ([], [])


@pytest.mark.parametrize("paper", [PAPERS["icml"], PAPERS["slide"]])
def test_a_panel_is_as_tall_as_its_labels(tmp_path, paper):
    low = figure(gains(tmp_path, values=(0.5, 1.0)), "slope", paper=paper)
    run = gains(tmp_path, cells=("lstm(coupled)", "gru"), lengths=(10, 1000))
    flat = figure(gains(tmp_path, values=(0.5, 1.0, 1.5)), "heatmap", paper=paper)
    rows = figure(where(run, ["recurrent_gain=0.5,1"]), "heatmap", paper=paper)
    for fig in (low, flat, rows):
        assert overlaps(fig, paper) == ([], [])
        for ax in fig.axes:
            assert "\n)" not in ax.get_ylabel()
            assert ax.yaxis.label.get_window_extent().height <= ax.bbox.height + 1
    assert "lstm\n(coupled)" in [ax.get_ylabel() for ax in rows.axes]


def test_panels_of_one_range_but_for_rounding_share_their_ticks():
    above, below = Figure().subplots(2, 1)
    above.set_xlim(0, 8)
    below.set_xlim(-1e-14, 8)
    thin_out({(0, 0): above, (1, 0): below})
    assert not any(tick.label1.get_visible() for tick in above.xaxis.get_major_ticks())


def test_a_single_step_has_a_whole_number():
    ax = Figure().subplots()
    whole_axis(ax)
    ax.plot([0], [1], "o")
    assert [tick for tick in ax.get_xticks() if abs(tick) < 0.5] == [0.0]


def test_a_legend_has_as_few_lines_as_fit_and_full_ones():
    names = ["forget f", "input i", "output o", "candidate g", "update z", "reset r"]
    assert legend_columns(names, 6.9, 8.0) == 6
    assert legend_columns(names, 5.0, 8.0) == 3
    assert legend_columns([LONG, LONG], 3.45, 8.0) == legend_columns([], 3.45, 8.0) == 1


def test_titles_and_row_labels_are_no_wider_than_their_panels(tmp_path):
    run = Run(tmp_path)
    for cell in (LONG, LONG + "2"):
        for length in (8, 16):
            for value in range(3):
                result = {"s": walk(-0.2, length, 0)}
                run.add(cell, length, 0, result, init__gain=value)
    fig = figure(run)
    assert overlaps(fig) == ([], [])
    for ax in axes_of(fig):
        box, title = ax.get_window_extent(), ax._left_title.get_window_extent()
        assert title.width <= box.width + 1
        assert ax.yaxis.label.get_window_extent().height <= box.height + 1


def test_lines_break_between_words_and_inside_only_where_they_must():
    assert wrap("a bc, d(e=f)", 5, len) == ["a bc,", "d", "(e=f)"]
    assert wrap("a bc, d(e=f)", 3, len) == ["a", "bc,", "d", "(e=", "f)"]
    assert wrap("", 3, len) == [""]
    assert wrap("abcdefg", 3, len) == ["abc", "def", "g"]


def test_a_direction_that_follows_from_the_rest_is_not_named(tmp_path):
    run = Run(tmp_path)
    for both, way in ((False, "forward"), (True, "both")):
        result = {"s": walk(-0.2, 8, 0, directions=(way,))}
        run.add("lstm", 8, 0, result, model__bidirectional=both)
    grid = facets(norm_curves(run)["s"], {"cell"})
    assert [grid.title(panel) for panel in grid.panels] == ["one direction", "both directions"]


def test_a_place_in_words():
    assert words({"cell": "gru", "init.gain": "", "layer": 1, "direction": "backward"}) == (
        "gru, layer 1 ←"
    )
    assert words({"direction": "backward"}) == "backward ←"
    assert words({"model.layers": "1", "length": 8}) == "1 layer, T = 8"
    assert words({"model.layers": "3", "init.forget_bias": "2"}) == "3 layers, forget bias 2"


def test_one_cell_is_coloured_by_its_places(tmp_path):
    bands = norm_curves(deep(tmp_path, layers=(1,), both=(True,)))["s"]
    assert hue(bands).axis == by_cell(bands).axis == "direction"
    assert by_cell(bands, {"direction"}).axis == "cell"


def test_a_long_legend_stands_beside_a_single_panel(tmp_path):
    fig = figure(sweep(tmp_path, cells=12, lengths=(16,), seeds=1))
    with private_style():
        fig.draw_without_rendering()
    box = fig.legends[0].get_window_extent()
    inside = fig.axes[0].get_tightbbox()
    assert inside.x1 <= box.x0


@pytest.mark.parametrize(("cells", "lengths"), [(2, (16,)), (12, (16,)), (12, (8, 16))])
def test_the_legend_overlaps_no_panel(tmp_path, cells, lengths):
    fig = figure(sweep(tmp_path, cells=cells, lengths=lengths, seeds=1))
    with private_style():
        fig.draw_without_rendering()
    box = fig.legends[0].get_window_extent()
    assert not any(ax.get_tightbbox().overlaps(box) for ax in axes_of(fig))
    assert overlaps(fig) == ([], [])


def test_slopes_along_a_swept_number(tmp_path):
    run = Run(tmp_path)
    for gain in (2.0, 0.5, 1.0):
        for seed in range(3):
            result = {"s": line(-0.1 * gain - 0.001 * seed, 20)}
            run.add("rnn", 20, seed, result, init__recurrent_gain=gain)
    ax = figure(run, "slope").axes[0]
    assert ax.get_xlabel() == "recurrent gain"
    np.testing.assert_allclose(ax.lines[-1].get_xdata(), [0.5, 1.0, 2.0], rtol=0)
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), [-0.051, -0.101, -0.201], rtol=1e-12)


def test_slopes_by_cell_are_those_of_the_longest(run):
    bands = norm_curves(run, ["s"])["s"]
    assert {band.length for band in at_greatest_length(bands)} == {64}
    ax = figure(run, "slope").axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["rnn", "cec", "lstm"]


def test_draw_curves_fills_your_own_axes(run):
    ax = Figure().subplots()
    draw_curves(ax, run, length=16, state="s")
    assert ax.get_legend_handles_labels()[1] == CELLS
    ax = Figure().subplots()
    draw_curves(ax, run, x="step")
    assert max(ax.lines[-1].get_xdata()) == 64
    with pytest.raises(UserError, match=r"no curve of length 5 at layer 0 forward\n.*4, 16, 64"):
        draw_curves(ax, run, length=5)


def test_long_curves_are_thinned_but_keep_their_ends(tmp_path):
    run = Run(tmp_path).add("rnn", 5000, 0, {"s": line(-0.01, 5000)})
    (band,) = norm_curves(run)["s"]
    assert band.trace.lag.size <= LAGS
    assert (band.trace.lag[0], band.trace.lag[-1]) == (0, 5000)
    np.testing.assert_array_equal(band.trace.lag[:150], np.arange(150))
    assert run.loads == 1


def test_bands_are_the_quantiles(run):
    band = norm_curves(run, ["s"])["s"][0]
    every = np.concatenate([run.result(p)["s"].values[0, 0] for p in run.points[:2]])[:, ::-1]
    np.testing.assert_array_equal(band.trace.low, quantile(every, 0.1))
    np.testing.assert_array_equal(band.trace.high, quantile(every, 0.9))


def test_a_wide_range_of_numbers_has_a_logarithmic_ramp():
    assert type(ramp([0.01, 1.0, 100.0])[1]).__name__ == "LogNorm"
    assert type(ramp([0.5, 1.0])[1]).__name__ == "Normalize"
