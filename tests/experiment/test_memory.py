"""What recordings take is planned before it is taken."""

from __future__ import annotations

import tracemalloc

import pytest

import gradflow
from gradflow.experiment.measure.measurement import footprint, measure
from gradflow.experiment.measure.plan import bundle, plan

WITHIN = 0.2

CASES = [
    ({}, "lstm", 32, 600),
    ({"paths": True}, "lstm", 32, 600),
    ({"gates": True}, "lstm", 32, 600),
    ({"contributions": True}, "lstm", 32, 300),
    ({"contributions": True}, "gru", 64, 200),
    pytest.param({"flow_map": True}, "lstm", 16, 250, marks=pytest.mark.extras),
    ({"spectrum": True}, "lstm", 16, 60),
    pytest.param({"theory": True}, "lstm", 32, 300, marks=pytest.mark.extras),
    pytest.param({"theory": True}, "gru", 16, 200, marks=pytest.mark.extras),
    ({"truncation": {"k1": 10, "k2": [10, 40]}}, "lstm", 32, 400),
    ({"truncation": {"k1": 1, "k2": [200]}}, "gru", 16, 400),
]


def one(record, cell, hidden, length, **more):
    made = gradflow.configure(
        model={"cell": cell, "hidden": hidden},
        inputs={"kind": "digits", "sequences": 8},
        record={"states": ["h", "c", "s"], **record},
        length=length,
        **more,
    )
    (whole,) = bundle(plan(made))
    return whole


@pytest.mark.parametrize(("record", "cell", "hidden", "length"), CASES, ids=str)
def test_what_a_recording_takes_is_predicted(record, cell, hidden, length):
    measure(one(record, cell, 2, 20))  # what is imported on the way is not counted
    whole = one(record, cell, hidden, length)
    tracemalloc.start()
    measure(whole)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (1 - WITHIN) * peak <= footprint(whole)[1].peak <= (1 + WITHIN) * peak
