"""A dry run's seconds come from short pieces of the work itself."""

from __future__ import annotations

import tracemalloc

import pytest

import gradflow
from gradflow.errors import UserError
from gradflow.experiment.measure import duration as probe
from gradflow.experiment.measure.duration import predicted
from gradflow.experiment.measure.measurement import footprint, measure
from gradflow.experiment.measure.plan import bundle, plan
from gradflow.experiment.preview import preview


def bundles(**rest):
    made = gradflow.configure(
        **{
            "model": {"cell": "lstm", "hidden": 8},
            "inputs": {"kind": "copy", "sequences": 2, "memory": 50},
            "sweep": {"length": [200], "seed": 40},
            "record": {"states": ["h"], "paths": True, "flow_map": True},
            **rest,
        }
    )
    return made, bundle(plan(made))


def test_a_probe_is_short_and_asks_for_norms_alone(monkeypatch):
    seen = []
    monkeypatch.setattr(probe, "measure", seen.append)
    _, (whole,) = bundles(loss={"kind": "sum", "at": [150]})
    assert probe.pace([whole]) >= 0
    short = seen[0]
    assert [one.lengths for one in seen] == [(133,), (293,), (133,)]  # copy needs 101
    assert len(short.seeds) == 16
    config = short.points[0].config
    assert not config.record.asked
    assert config.loss.at == "last"


LEARNING = {
    "model": {"cell": "lstm", "hidden": 6},
    "inputs": {"kind": "adding", "sequences": 2},
    "sweep": {"length": [40], "seed": 5},
    "record": {"states": ["s"]},
}


def test_nets_that_learn_are_probed_by_few_updates_and_counted_by_all(monkeypatch):
    seen = []
    monkeypatch.setattr(probe, "measure", seen.append)
    once, hundred = (
        bundles(**LEARNING, train={"loss": "mse", "updates": n, "until": "never"})[1][0]
        for n in (64, 6400)  # sequences are drawn for so many at a time
    )
    (still,) = bundles(**LEARNING)[1]
    assert probe.pace([hundred]) >= 0
    taught = [one.points[0].config.train.updates for one in seen]
    assert taught == [2] + 2 * [taught[1]] + 2 * [2]
    short, longer = seen[0], seen[1]
    update = (predicted(longer) - predicted(short)) / (taught[1] - 2)
    assert taught[1] == 62 or 0 <= predicted(longer) - predicted(short) - probe.LESSON < update
    own = predicted(still)
    assert predicted(hundred) - own == pytest.approx(100 * (predicted(once) - own), rel=1e-9)
    assert probe.pieces([hundred]) == (hundred,)


def test_sequences_and_tests_of_nets_that_learn_are_counted():
    """A few updates draw as many sequences as 64; tests come every so many updates."""

    def told(updates, **until):
        train = {"loss": "mse", "until": until or "never", "updates": updates}
        return predicted(bundles(**LEARNING, train=train)[1][0])

    one, two, drawn = told(1), told(2), 64 * 5 * probe.DRAWN
    assert told(64) == pytest.approx(one + 63 * (two - one), rel=1e-9)
    assert told(65) == pytest.approx(one + 64 * (two - one) + drawn, rel=1e-9)
    never, some, more = (
        told(1000),
        told(1000, within=0.1, test=64, every=100),
        told(1000, within=0.1, test=128, every=50),
    )
    assert never < some
    assert more - never == pytest.approx(4 * (some - never), rel=1e-9)


def test_memory_of_nets_that_learn_is_planned(monkeypatch):
    train = {"loss": "mse", "batch": 50, "updates": 2, "until": "never"}
    _, (whole,) = bundles(**LEARNING, train=train)
    told = footprint(whole)[1].peak
    measure(whole)  # imports and what is made once
    tracemalloc.start()
    measure(whole)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.6 * peak < told < 2.0 * peak
    with pytest.raises(UserError, match=r"learn from fewer sequences at a time \(`train.batch`\)"):
        footprint(bundles(**LEARNING, train=train, memory=told // 2)[1][0])


def test_what_cannot_be_measured_has_the_predicted_pace():
    _, (whole,) = bundles(
        model={"cell": {"kind": "rnn", "activation": "identity"}, "hidden": 4},
        inputs={"kind": "noise", "sequences": 1},
        init={"recurrent": "identity", "recurrent_gain": 1e30},
        record={"states": ["h"]},
    )
    assert probe.pace([whole]) == 1.0


def test_a_preview_scales_predictions_by_the_pace(monkeypatch, tmp_path):
    monkeypatch.setattr("gradflow.experiment.preview.pace", lambda todo: 3.0)
    made, _ = bundles()
    planned = preview(made, out=tmp_path).bundles
    for one in planned:
        assert one.seconds == pytest.approx(3 * predicted(one.bundle))
    assert list(tmp_path.iterdir()) == []


HOSTILE = [
    {},
    {"loss": {"kind": "probe", "at": "all"}},
    {"loss": {"kind": "probe", "at": [5, 90_000_000]}},
    {"record": {"flow_map": True}},
    {"record": {"spectrum": True, "gates": True, "contributions": True, "paths": True}},
    {"record": {"truncation": {"k1": 1, "k2": [4]}}},
    {"record": {"every": "log"}},
    {"method": "rtrl"},
    {"inputs": {"kind": "adding"}},
    {"length": 10**9},
    {"model": {"cell": "gru", "bidirectional": True}},
]


@pytest.mark.parametrize("more", HOSTILE, ids=str)
def test_a_length_beyond_all_memory_is_counted_not_made(more, tmp_path):
    plain = {"model": {"cell": "lstm", "hidden": 8}, "inputs": {"kind": "noise"}}
    made = gradflow.configure(**{**plain, "length": 10**8, **more})
    tracemalloc.start()
    (one,) = preview(made, out=tmp_path).bundles
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "the memory budget is 2,147,483,648\n" in one.problem
    assert peak < 100_000_000
