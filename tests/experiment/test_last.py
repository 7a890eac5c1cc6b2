"""The last loss of a sum by itself: what rates and verdicts are read from."""

from __future__ import annotations

import numpy as np
import pytest

import gradflow
from gradflow.advice.advise import advise
from gradflow.experiment.measure.measurement import footprint
from gradflow.experiment.measure.plan import bundle, plan


def flow(at, *, cell="lstm", length=30, states=("h", "c", "s", "x"), **more):
    sections = {
        "model": {"cell": cell, "hidden": 5, "layers": 2},
        "inputs": {"kind": "noise", "sequences": 2},
        "loss": {"kind": "probe", "at": at},
        "length": length,
        "record": {"states": list(states)},
    }
    return gradflow.run(gradflow.configure(**{**sections, **more}))


@pytest.mark.parametrize("at", ["all", [7, 30]])
@pytest.mark.parametrize("method", ["bptt", "rtrl"])
def test_it_is_what_a_loss_at_the_last_step_alone_gives(at, method):
    several, last = flow(at, method=method), flow("last")
    for state in ("h", "c", "s", "x"):
        found = several.get(f"{state}.last")
        np.testing.assert_allclose(10.0**found.values, 10.0 ** last.get(state).values, rtol=1e-9)
        np.testing.assert_array_equal(found.coords["lag"], last.get(state).coords["lag"])
        assert not np.allclose(several.get(state).values, found.values)
    assert not [name for name in last.source.result(last.points[0]) if "." in name]


def test_each_direction_has_a_last_loss_of_its_own():
    both = {"cell": "gru", "hidden": 4, "layers": 2, "bidirectional": True}
    several, first = (flow(at, model=both, states=("s", "x")) for at in ([3, 12, 20], [3]))
    last = flow([20], model=both, states=("s", "x"))
    found = several.get("s.last").values
    np.testing.assert_allclose(found[:, 0], last.get("s").values[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found[:, 1], first.get("s").values[:, 1], rtol=1e-12)
    np.testing.assert_allclose(several.get("x.last").values, last.get("x").values, rtol=1e-12)
    np.testing.assert_array_equal(
        several.get("s.last").coords["lag"], several.get("s").coords["lag"]
    )


def test_all_lengths_share_a_pass():
    sweep = {"sweep": {"length": [10, 20, 30], "seed": 2}}
    several, last = flow("all", **sweep), flow("last", **sweep)
    for length in (10, 20, 30):
        found = several.get("s.last", length=length).values
        np.testing.assert_allclose(found, last.get("s", length=length).values, rtol=1e-12)


def test_a_sum_over_steps_is_judged_by_its_last_loss():
    """The sum's own norms end at −0.4 decades with a half-life of 1,528 steps: "steady"."""
    init = {"recurrent": "uniform", "input": "uniform", "forget_bias": 0}
    for at in ("last", "all", [50, 200]):
        (one,) = flow(
            at,
            model={"cell": "lstm", "hidden": 32},
            inputs={"kind": "digits", "sequences": 16},
            init=init,
            length=200,
            states=("s",),
        ).summary("s")
        assert one.decades == pytest.approx(-39.1, abs=0.2)
        assert one.half_life == pytest.approx(1.57, abs=0.02)
        assert (one.verdict, one.several) == ("vanishes", at != "last")


@pytest.mark.parametrize("length", [100, 1000])
def test_a_flat_carrousel_is_flat_whatever_the_loss_sums(length):
    experiment = {"model": {"cell": "cec", "hidden": 8}, "loss": {"kind": "sum", "at": "all"}}
    (one,) = flow("all", length=length, states=("s",), **experiment).summary("s")
    assert (one.verdict, one.decades, one.slope) == ("steady", 0.0, 0.0)
    assert one.horizons["float16"].reads == "never"


def test_advice_finds_what_to_change_where_losses_are_summed():
    experiment = gradflow.configure(
        model={"cell": "rnn", "hidden": 8},
        init={"recurrent_gain": 0.5},
        inputs={"kind": "noise", "sequences": 2, "scale": 0.1},
        loss={"kind": "probe", "at": "all"},
        length=40,
    )
    (one,) = advise(experiment)
    assert one.before.decades < -8
    assert one.best is not None
    assert one.best.best.steady


def test_its_records_are_planned_for():
    needed = []
    for at in ("last", "all"):
        experiment = gradflow.configure(
            model={"cell": "cec", "hidden": 1},
            inputs={"kind": "noise", "sequences": 50, "features": 1},
            loss={"kind": "sum", "at": at},
            length=5000,
            record={"states": ["s", "h"]},
        )
        needed.append(footprint(bundle(plan(experiment))[0])[1].peak)
    assert needed[1] - needed[0] >= 0.9 * 2 * 8 * 50 * 5001
