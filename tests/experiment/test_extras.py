"""What is recorded beyond norms arrives in the results, where it is defined."""

from __future__ import annotations

import numpy as np
import pytest

import gradflow
from gradflow.errors import UserError
from gradflow.experiment.measure.measurement import footprint
from gradflow.experiment.measure.plan import bundle, plan

ALL = dict.fromkeys(("paths", "contributions", "gates", "flow_map", "spectrum"), True)


def experiment(cells, record, **rest):
    return gradflow.configure(
        **{
            "model": {"cell": "lstm", "hidden": 3},
            "inputs": {"kind": "noise", "sequences": 2},
            "sweep": {"model.cell": cells, "length": [6, 12], "seed": 2},
            "record": {"states": ["h", "c", "x"], **record},
            **rest,
        }
    )


@pytest.fixture(scope="module")
def flow():
    return gradflow.run(experiment(["lstm", "gru", "cec", "rnn"], ALL))


EXPECTED = {
    "path_carrousel": {"lstm", "gru", "cec"},
    "path_gates": {"lstm", "gru", "cec"},
    "path_share": {"lstm", "gru", "cec"},
    "gate_mean": {"lstm", "gru"},
    "gate_saturated": {"lstm", "gru"},
    "contribution_U": {"lstm", "gru", "cec", "rnn"},
    "contribution_W": {"lstm", "gru", "rnn"},
    "conflict_U": {"lstm", "gru", "cec", "rnn"},
    "flow.h": {"lstm", "gru", "cec", "rnn"},
    "flow.c": {"lstm"},
    "singular": {"lstm", "gru", "cec", "rnn"},
    "lyapunov": {"lstm", "gru", "cec", "rnn"},
}


@pytest.mark.parametrize(("name", "cells"), EXPECTED.items())
def test_each_cell_has_what_is_defined_on_it(flow, name, cells):
    have = {p.cell for p in flow.points if name in flow.source.result(p)}
    assert have == cells


def test_asking_changes_no_norm(flow):
    plain = gradflow.run(experiment(["lstm", "gru", "cec", "rnn"], {}))
    for asked, alone in zip(flow.points, plain.points, strict=True):
        for name, quantity in plain.source.result(alone).items():
            np.testing.assert_array_equal(flow.source.result(asked)[name].values, quantity.values)


def test_values_of_the_carrousel(flow):
    share = flow.get("path_share", cell="cec", length=12, seed=0)
    np.testing.assert_array_equal(share.values, 1)
    np.testing.assert_allclose(flow.get("lyapunov", cell="cec", length=12).values, 0, atol=1e-15)
    np.testing.assert_allclose(flow.get("singular", cell="cec", length=12).values, 0, atol=1e-14)


def test_the_flow_maps_last_row_is_the_curve(flow):
    for cell in ("lstm", "gru", "rnn"):
        where = {"cell": cell, "length": 12, "seed": 1}
        row = flow.get("flow.h", **where).values[..., 0, :]
        np.testing.assert_allclose(row, flow.get("h", **where).values, rtol=1e-12)


@pytest.mark.parametrize(
    ("record", "cells", "why"),
    [("paths", ["rnn"], "no carrousel"), ("gates", ["rnn", "cec"], "no gates")],
)
def test_asking_for_what_no_cell_has_is_a_mistake(record, cells, why):
    with pytest.raises(UserError, match=rf"(?s)record\.{record}: .*{why}.*fix:"):
        plan(experiment(cells, {record: True}))


def test_a_bidirectional_net_has_no_spectrum():
    both = {"model": {"cell": "gru", "hidden": 2, "bidirectional": True}}
    with pytest.raises(UserError, match="no state at one step decides"):
        plan(experiment(["gru"], {"spectrum": True}, **both))


def test_records_count_in_the_memory_that_is_planned():
    sizes = [
        footprint(bundle(plan(experiment(["lstm"], record)))[0])[1].peak for record in ({}, ALL)
    ]
    assert sizes[1] > sizes[0]


def test_over_the_budget_is_refused_with_the_bytes():
    tight = experiment(["lstm"], {}, model={"cell": "lstm", "hidden": 400}, memory="1MiB")
    with pytest.raises(UserError, match=r"needs [\d,]+ bytes, the memory budget is 1,048,576"):
        gradflow.run(tight)


@pytest.mark.parametrize("kind", ["mse", "sum"])
def test_checkpoints_change_no_bit(kind):
    def at(memory):
        return gradflow.configure(
            model={"cell": "lstm", "hidden": 8, "layers": 2},
            inputs={"kind": "digits", "sequences": 8},
            loss={"kind": kind, "at": "all"},
            sweep={"length": [200, 700]},
            memory=memory,
        )

    needed = footprint(bundle(plan(at("1GiB")))[0])[1].peak
    (piece,) = bundle(plan(at(needed // 2)))
    roomy, tight = (gradflow.run(at(memory)) for memory in ("1GiB", needed // 2))
    assert not footprint(piece)[0].keep
    for p, q in zip(roomy.points, tight.points, strict=True):
        for name, quantity in roomy.source.result(p).items():
            np.testing.assert_array_equal(tight.source.result(q)[name].values, quantity.values)


def test_the_readouts_conflict_is_among_the_contributions_where_there_is_a_readout():
    given = {
        "inputs": {"kind": "distractors", "sequences": 3},
        "loss": {"kind": "mse", "at": "all"},
    }
    read = gradflow.run(experiment(["cec", "lstm"], {"contributions": True}, **given))
    conflict = read.get("conflict_V", cell="cec", length=12)
    assert conflict.dims == ("point", "sequence")
    assert ((conflict.values > 0) & (conflict.values <= 1)).all()
    assert read.get("contribution_V", cell="lstm", length=6, seed=0).values.shape == (3, 6)
    probed = gradflow.run(experiment(["cec"], {"contributions": True}))
    assert "conflict_V" not in probed.source.result(probed.points[0])


THEORY = {"theory": True, "truncation": {"k1": 3, "k2": [3, 12]}}


@pytest.fixture(scope="module")
def beside():
    return gradflow.run(experiment(["rnn", "lstm"], THEORY))


def test_predictions_have_their_words(beside):
    rate = beside.get("theory_rate", cell="rnn", length=12, seed=0)
    assert rate.dims == ("prediction",)
    for name in ("prediction", "kind", "applies", "error", "note", "source"):
        assert len(rate.coords[name]) == len(rate.values)
    assert "mean field" in rate.coords["prediction"].tolist()


def test_truncation_as_far_as_the_sequence_leaves_nothing_out(beside):
    for cell in ("rnn", "lstm"):
        error = beside.get("truncation_error", cell=cell, length=12, seed=0)
        assert error.coords["k2"].tolist() == [3, 12]
        assert error.values[1] < 1e-12
        cosine = beside.get("truncation_cosine", cell=cell, length=12, seed=0)
        np.testing.assert_allclose(cosine.values[1], 1, rtol=1e-12)


@pytest.mark.parametrize("cells", [["rnn", "lstm", {"kind": "gru", "reset": "after"}]])
def test_methods_agree_where_they_should(cells):
    made = experiment(cells, {"states": ["h", "c", "s", "x"]}, loss={"kind": "sum", "at": "all"})
    exact = gradflow.run(made)
    forward = gradflow.run(made.model_copy(update={"method": "rtrl"}))
    for p, q in zip(exact.points, forward.points, strict=True):
        assert p.hash != q.hash
        for name, quantity in exact.source.result(p).items():
            got = forward.source.result(q)[name].values
            np.testing.assert_allclose(got, quantity.values, rtol=1e-9, atol=1e-10)


def test_the_truncated_gradient_is_the_carrousels_part():
    paths = gradflow.run(experiment(["lstm", "gru"], {"paths": True}))
    cut = gradflow.run(experiment(["lstm", "gru"], {}, method="carrousel"))
    for cell, state in (("lstm", "c"), ("gru", "h")):
        where = {"cell": cell, "length": 12, "seed": 1}
        want = paths.get("path_carrousel", **where).values
        np.testing.assert_allclose(cut.get(state, **where).values, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        ({"method": "carrousel"}, "method: carrousel: rnn has no carrousel"),
        (
            {"method": "rtrl", "model": {"cell": "rnn", "hidden": 2, "bidirectional": True}},
            "method: rtrl: .*follow a stream forward",
        ),
        ({"method": "rtrl", "record": {"contributions": True}}, "no way back"),
        (
            {"record": {"theory": True}, "model": {"cell": "rnn", "hidden": 2, "layers": 2}},
            "one layer in one direction",
        ),
    ],
)
def test_methods_and_theory_say_where_they_are_not_defined(rest, why):
    with pytest.raises(UserError, match=why):
        plan(experiment(["rnn"], rest.pop("record", {}), **rest))


def test_k2_below_k1_is_a_mistake_with_its_place():
    with pytest.raises(gradflow.ConfigError, match=r"k2 = 2 is less than k1 = 3"):
        experiment(["rnn"], {"truncation": {"k1": 3, "k2": [2]}})


def test_rtrl_beyond_the_budget_is_refused():
    wide = {"model": {"cell": "lstm", "hidden": 200}, "memory": "1MiB", "method": "rtrl"}
    with pytest.raises(UserError, match="the memory budget is"):
        gradflow.run(experiment(["lstm"], {}, **wide))
