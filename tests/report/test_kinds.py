"""Figures of what is recorded beside the norms."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

import gradflow
from gradflow.core.quantity import Quantity
from gradflow.errors import UserError
from gradflow.report.figures import KINDS, plot
from gradflow.report.figures.canvas import Setup
from gradflow.report.figures.output import private_style
from gradflow.report.figures.traces import extent, traces
from tests.report.fakes import Run, line, series
from tests.report.test_plots import axes_of, overlaps, texts

RECORDED = ["truncation", "flow", "paths", "contributions", "gates", "theory", "spectrum"]
T = 12


def measured(**sections):
    experiment = {
        "name": "small",
        "model": {"cell": "lstm", "hidden": 4},
        "inputs": {"kind": "noise", "sequences": 2, "scale": 0.5},
        "length": T,
        "sweep": {"model.cell": ["rnn", "cec", "lstm", "gru"], "seed": 2},
    }
    return gradflow.run(gradflow.configure(**(experiment | sections))).source


@pytest.fixture(scope="module")
def run():
    kinds = ("paths", "contributions", "gates", "flow_map", "spectrum", "theory")
    cut = {"truncation": {"k1": 2, "k2": [2, 4, T]}}
    return measured(record={"states": ["h", "c", "s"], **cut, **dict.fromkeys(kinds, True)})


@pytest.fixture(scope="module")
def deep():
    return measured(
        model={"cell": "lstm", "hidden": 3, "layers": 2, "bidirectional": True},
        loss={"kind": "sum", "at": "all"},
        sweep={"init.forget_bias": [0.0, 1.0, 2.0, 3.0, 5.0]},
        record={"states": ["h", "x"], "paths": True, "gates": True, "flow_map": True},
    )


def drawn(run, kind, x="lag", only=None):
    with private_style():
        return {
            n: KINDS[kind].draw(s, n, Setup(x)) for n, s in KINDS[kind].gather(run, only).items()
        }


ONES = [
    ("flow", "c"), ("paths", "share"), ("gates", "lstm"), ("spectrum", "lyapunov"),
    ("truncation", "error"),
    *(
        pytest.param(*one, marks=pytest.mark.extras)
        for one in [("contributions", "conflict"), ("theory", "s")]
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), ONES)
def test_every_kind_is_the_same_bytes_when_redrawn(run, tmp_path, kind, name):
    first, again = (
        plot(run, kind, state=name, formats=("svg",), out=tmp_path / folder) for folder in "ab"
    )
    assert [path.name for path in first] == [f"{kind}-{name}.svg"]
    assert first[0].read_bytes() == again[0].read_bytes()


@pytest.mark.parametrize("kind", RECORDED)
def test_no_text_overlaps_another(run, kind):
    for figure in drawn(run, kind, x="step").values():
        assert overlaps(figure) == ([], [])


@pytest.mark.parametrize(
    ("kind", "name"), [("flow", "h"), pytest.param("paths", "parts", marks=pytest.mark.extras)]
)
def test_stacks_in_both_directions_fit(deep, kind, name):
    with private_style():
        figure = KINDS[kind].draw(KINDS[kind].gather(deep, name)[name], name, Setup())
    assert overlaps(figure) == ([], [])


@pytest.mark.parametrize("kind", RECORDED)
def test_what_was_not_recorded_is_named_with_its_key(tmp_path, kind):
    run = Run(tmp_path).add("lstm", 4, 0, {"s": line(-1, 4)})
    record = "flow_map" if kind == "flow" else kind
    with pytest.raises(UserError, match=rf"set  record\.{record}: (true|\{{k1)"):
        plot(run, kind)


def test_one_figure_of_several_is_chosen_by_name(run, tmp_path):
    (path,) = plot(run, "paths", state="share", out=tmp_path / "x.svg")
    assert path == tmp_path / "x.svg"
    with pytest.raises(UserError, match="no figure of kind paths 'h'; there is parts, share"):
        plot(run, "paths", state="h")
    assert list(KINDS["gates"].gather(run)) == ["lstm", "gru"]


def test_a_flow_map_is_grey_where_there_is_no_path(run):
    fig = drawn(run, "flow", only="h")["h"]
    assert len(axes_of(fig)) == 4
    assert [text.get_text() for text in fig.legends[0].get_texts()] == [
        " exactly 0: no path from k to t"
    ]
    mesh = axes_of(fig)[2].collections[0].get_array()
    assert mesh.shape == (T, T + 1)
    after = np.arange(T + 1)[None] > np.arange(1, T + 1)[:, None]
    np.testing.assert_array_equal(np.isnan(mesh.filled(np.nan)), after)


def test_a_flow_map_is_the_median_and_in_original_time(deep):
    maps = KINDS["flow"].gather(deep)
    point = deep.points[0]
    quantity = deep.result(point)["flow.h"]
    backward = next(one for one in maps["h"] if one.place == (1, "backward"))
    assert backward.step.tolist() == list(range(1, T + 2))
    t, k = 3, 5  # own time T + 1 − 5
    i = quantity.coords["loss_step"].tolist().index(t)
    j = quantity.coords["step"].tolist().index(T + 1 - k)
    own = np.median(quantity.values[1, 1, :, i, j])
    np.testing.assert_allclose(backward.values[t - 1, k - 1], own, rtol=1e-12)
    full = maps["x"][0]
    assert np.isfinite(full.values).all()
    assert "exactly 0" not in texts(drawn(deep, "flow", only="x")["x"])


def test_paths_are_shown_with_their_share_and_cosine(run):
    figures = drawn(run, "paths")
    assert list(figures) == ["parts", "share", "cosine"]
    parts = axes_of(figures["parts"])
    assert [ax.get_title("left") for ax in parts] == ["cec", "lstm", "gru"]
    assert "cec: nothing comes through gates" in texts(figures["parts"])
    (ax,) = axes_of(figures["share"])
    assert [text.get_text() for text in figures["share"].legends[0].get_texts()] == [
        " cec", " lstm", " gru",
    ]  # fmt: skip
    assert all(0 <= y <= 1 for one in ax.lines for y in one.get_ydata())
    assert ax.lines[0].get_ydata().tolist() == [1.0] * (T + 1)
    names = [text.get_text() for text in figures["cosine"].legends[0].get_texts()]
    assert names == [" lstm", " gru"]


def test_paths_without_any_cosine(tmp_path):
    only = measured(
        sweep={"model.cell": ["cec"]}, record={"states": ["h"], "paths": True}, length=5
    )
    assert list(KINDS["paths"].gather(only)) == ["parts", "share"]


def test_contributions_by_gate(run):
    figures = drawn(run, "contributions")
    assert list(figures) == ["U", "W", "conflict"]
    assert [text.get_text() for text in figures["U"].legends[0].get_texts()] == [
        " forget f", " input i", " output o", " candidate g", " update z", " reset r",
    ]  # fmt: skip
    _, cec, lstm, gru = axes_of(figures["conflict"])
    assert [t.get_text() for t in lstm.get_xticklabels()] == ["f", "i", "o", "g"]
    assert [t.get_text() for t in gru.get_xticklabels()] == ["g", "z", "r"]
    assert len(cec.patches) == 1
    assert len(lstm.patches) == 8


def test_bars_are_medians_over_seeds_and_sequences(run):
    sites = {one.cell: one for one in KINDS["contributions"].gather(run)["conflict"]}
    every = [run.result(p)["conflict_W"] for p in run.points if p.axes["model.cell"] == "lstm"]
    gate = every[0].coords["gate"].tolist().index("f")
    pooled = np.concatenate([one.values[0, 0, gate] for one in every])
    assert sites["lstm"].of["conflict_W", "f"].median == pytest.approx(np.median(pooled), rel=1e-12)


def test_the_readout_has_bars_and_curves_of_its_own():
    task = measured(
        inputs={"kind": "adding", "sequences": 2},
        loss={"kind": "mse", "at": "last"},
        sweep={"model.cell": ["lstm"]},
        record={"states": ["h"], "contributions": True},
    )
    figures = drawn(task, "contributions")
    assert list(figures) == ["U", "W", "V", "conflict"]
    labels = [t.get_text() for t in axes_of(figures["conflict"])[0].get_xticklabels()]
    assert labels[-1] == "readout"
    assert not figures["V"].legends


def test_gates_stand_above_the_gradient(run):
    fig = drawn(run, "gates", x="step", only="lstm")["lstm"]
    means, saturated, gradient = axes_of(fig)
    labels = [means.get_ylabel(), saturated.get_ylabel()]
    assert labels == ["opening", "saturated"]
    assert "partial L" in gradient.get_ylabel()
    assert means.get_xlim() == gradient.get_xlim()
    quantities = [run.result(p)["gate_mean"] for p in run.points if p.axes["model.cell"] == "lstm"]
    gate = quantities[0].coords["gate"].tolist().index("o")
    own = np.median(np.concatenate([q.values[0, 0, gate] for q in quantities]), axis=0)
    shown = [one.get_ydata()[::-1] for one in means.lines]
    assert any(np.allclose(y, own, rtol=1e-12) for y in shown)


def test_many_settings_of_gates_are_thinned(deep):
    fig = drawn(deep, "gates")["lstm"]
    assert len(axes_of(fig)) == 12
    assert "4 of" in texts(fig)
    assert "the lowest of 2 layers" in texts(fig)


def test_gates_without_norms_stand_alone(tmp_path):
    values = np.full((1, 1, 1, 2, 4), 0.5)
    coords = {
        "layer": np.arange(1), "direction": np.array(["forward"]), "gate": np.array(["q"]),
        "step": np.arange(1, 5), "lag": np.arange(4)[::-1][None],
    }  # fmt: skip
    dims = ("layer", "direction", "gate", "sequence", "step")
    names = ("gate_mean", "gate_spread", "gate_saturated")
    result = {name: Quantity(name, dims, values, coords, "1") for name in names}
    result["x"] = line(-1.0, 4, name="x")
    fig = drawn(Run(tmp_path).add("own(cell)", 4, 0, result), "gates")["own-cell"]
    assert len(axes_of(fig)) == 2
    assert [text.get_text() for text in fig.legends[0].get_texts()] == [" q"]


def test_singular_values_fan_out_and_exponents_have_errors(run):
    figures = drawn(run, "spectrum")
    rnn, cec, lstm, _ = axes_of(figures["singular"])
    assert [len([x for x in ax.lines if len(x.get_xdata()) > 2]) for ax in (rnn, lstm)] == [4, 8]
    (ax,) = axes_of(figures["lyapunov"])
    assert len(ax.containers) == 4
    flat = [y for one in cec.lines for y in one.get_ydata() if len(one.get_xdata()) > 2]
    assert max(map(abs, flat)) < 1e-12


def test_directions_that_are_forgotten_at_once_are_left_out(tmp_path):
    at = {"step": np.arange(3), "lag": np.array([3, 2, 1])}
    values = np.array([[[-1.0, -np.inf]] * 3])
    for seeds in (1, 2):
        run = Run(tmp_path)
        for seed in range(seeds):
            result = {
                "s": line(-1.0, 3),
                "singular": Quantity("singular", ("sequence", "step", "vector"), values, at),
            }
            for name, row in (("lyapunov", [-0.5, -np.inf]), ("lyapunov_error", [0.1, 0.0])):
                result[name] = Quantity(name, ("sequence", "vector"), np.array([row]), {})
            run.add("gru", 3, seed, result)
        figures = drawn(run, "spectrum")
        assert "a line that ends: exactly 0" in texts(figures["singular"])
        assert "exponents of −∞" in texts(figures["lyapunov"])
        (rates,) = KINDS["spectrum"].gather(run)["lyapunov"]
        assert rates.error[1] == 0
        assert rates.error[0] == pytest.approx(0.1 / np.sqrt(seeds))


def test_truncation_is_exact_where_nothing_is_cut(run):
    found = KINDS["truncation"].gather(run)
    assert list(found) == ["error", "h", "s", "c"]
    lstm = next(one for one in found["error"] if one.cell == "lstm")
    assert lstm.k2 == (2, 4, T)
    assert lstm.of.median[0] > lstm.of.median[1] > -12
    assert lstm.of.median[2] == -np.inf
    one = next(each for each in found["h"] if each.cell == "lstm")
    np.testing.assert_allclose(one.of[T].median, one.exact.median, rtol=1e-9)
    assert np.isneginf(one.of[2].median[-1])
    fig = drawn(run, "truncation", only="h")["h"]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == [
        " exact", " k2 = 2", " k2 = 4", f" k2 = {T}",
    ]  # fmt: skip


def test_an_error_below_rounding_ends_its_line(tmp_path):
    axis = {"k2": np.array([2, 4])}
    for values, said in (([0.5, 0.0], True), ([0.0, 0.0], True), ([0.5, 0.1], False)):
        quantity = Quantity("truncation_error", ("k2",), np.array(values), axis, "1")
        run = Run(tmp_path).add("cec", 4, 0, {"s": line(-1, 4), "truncation_error": quantity})
        run.add("rnn", 4, 0, {"s": line(-1, 4)})
        fig = drawn(run, "truncation")["error"]
        assert ("no error beyond rounding" in texts(fig)) == said


def test_a_truncated_flow_of_nothing(tmp_path):
    dead = series(np.full((1, 1, 1, 4), -np.inf))
    cut = Quantity("truncated_s", ("k2", *dead.dims), dead.values[None], dead.coords)
    error = Quantity("truncation_error", ("k2",), np.ones(1), {"k2": np.array([2])}, "1")
    result = {"s": dead, "truncated_s": cut, "truncation_error": error}
    assert axes_of(drawn(Run(tmp_path).add("rnn", 3, 0, result), "truncation")["s"])


def theory(path, rates, *, applies=True, kind="estimate", note="wide", slope=-0.1, seeds=1):
    run = Run(path)
    for seed in range(seeds):
        coords = {
            "prediction": np.array(list(rates)),
            "kind": np.array([kind] * len(rates)),
            "applies": np.array([applies] * len(rates)),
            "error": np.zeros(len(rates)),
            "note": np.array([note] * len(rates)),
            "source": np.array(["someone 1990"] * len(rates)),
        }
        values = np.array(list(rates.values()))
        quantity = Quantity("theory_rate", ("prediction",), values, coords, "decades/step")
        run.add("rnn", 20, seed, {"s": line(slope, 20, seed=seed), "theory_rate": quantity})
    return run


def test_predictions_start_where_the_measurement_does(tmp_path):
    run = theory(tmp_path, {"mean field": -0.09, "nothing": -np.inf})
    (ax,) = axes_of(drawn(run, "theory")["s"])
    lines = [one for one in ax.lines if len(one.get_xdata()) == 21]
    np.testing.assert_allclose(lines[-1].get_ydata(), -0.09 * np.arange(21), rtol=1e-12)
    assert len(lines) == 2
    assert "does not apply" not in texts(ax.figure)


def test_bounds_are_dashed_and_what_does_not_apply_is_faint(tmp_path):
    bound = drawn(theory(tmp_path, {"a bound": 0.2}, kind="upper bound"), "theory")["s"]
    assert "a bound (upper bound)" in texts(bound)
    (ax,) = axes_of(bound)
    assert ax.lines[-1].is_dashed()
    assert ax.get_ylim()[1] < 1  # the bound does not stretch the scale
    faint = drawn(theory(tmp_path, {"a": -0.1}, applies=False, note="too small"), "theory")["s"]
    assert "faint: theory does not apply: a (too small)" in texts(faint)
    assert axes_of(faint)[0].lines[-1].get_alpha() == 0.4


def test_theory_over_a_gradient_of_nothing(tmp_path):
    run = theory(tmp_path, {"a": -np.inf})
    for result in run.results.values():
        result["s"] = series(np.full((1, 1, 1, 21), -np.inf))
    assert axes_of(drawn(run, "theory")["s"])


def test_an_extent_of_nothing(tmp_path):
    run = Run(tmp_path).add("gru", 3, 0, {"s": series(np.full((1, 1, 1, 4), -np.inf))})
    assert extent(traces(run, ["s"])) == (0.0, 0.0)
    assert extent([]) == (0.0, 0.0)


def test_missing_numbers_are_left_out_of_the_median(tmp_path):
    values = [[[[np.nan, 1.0, 3.0], [np.nan, np.nan, 5.0]]]]
    run = Run(tmp_path).add("gru", 2, 0, {"path_share": series(values, "path_share")})
    run.results[id(run.points[0])]["s"] = line(-1, 2)
    (one,) = traces(run, ["path_share"])
    np.testing.assert_array_equal(one.of["path_share", ""].median, [4.0, 1.0, np.nan])


def test_records_beside_the_norms_are_no_states(run, tmp_path):
    from gradflow.report.read.records import states

    assert states(run.result(run.points[2])) == ["h", "s"]
    assert matplotlib.get_backend()
