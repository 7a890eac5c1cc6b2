"""What recordings take is planned before it is taken."""

from __future__ import annotations

import tracemalloc

import pytest

import gradflow
from gradflow.experiment.measure.measurement import footprint, measure
from gradflow.experiment.measure.plan import bundle, plan

CASES = [
    ({}, "lstm", 32, 600, 0.2),
    ({"paths": True}, "lstm", 32, 600, 0.2),
    ({"gates": True}, "lstm", 32, 600, 0.2),
    ({"contributions": True}, "lstm", 32, 300, 0.2),
    ({"contributions": True}, "gru", 64, 200, 0.2),
    ({"flow_map": True}, "lstm", 16, 250, 0.3),  # small beside its one working step
    ({"spectrum": True}, "lstm", 16, 60, 0.2),
    ({"theory": True}, "lstm", 32, 300, 0.2),
    ({"theory": True}, "gru", 16, 200, 0.2),
    ({"truncation": {"k1": 10, "k2": [10, 40]}}, "lstm", 32, 400, 0.2),
    ({"truncation": {"k1": 1, "k2": [200]}}, "gru", 16, 400, 0.3),
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


@pytest.mark.parametrize(("record", "cell", "hidden", "length", "within"), CASES, ids=str)
def test_what_a_recording_takes_is_predicted(record, cell, hidden, length, within):
    measure(one(record, cell, 2, 20))  # what is imported on the way is not counted
    whole = one(record, cell, hidden, length)
    tracemalloc.start()
    measure(whole)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (1 - within) * peak <= footprint(whole)[1].peak <= (1 + within) * peak
