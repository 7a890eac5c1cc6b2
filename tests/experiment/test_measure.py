"""What a configuration describes is what is measured."""

from __future__ import annotations

import numpy as np
import pytest

import gradflow
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Sum
from gradflow.core.network.stack import Network
from gradflow.core.record import Norms, Timeline
from gradflow.experiment.data import sources
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import bundle, plan
from gradflow.experiment.models import weights


@pytest.fixture
def state_dict(tmp_path):
    """A two-layer bidirectional LSTM of 3 units in PyTorch's names."""
    rng = np.random.default_rng(0)
    arrays = {}
    for layer, inputs in ((0, 1), (1, 6)):
        for end in ("", "_reverse"):
            arrays[f"weight_ih_l{layer}{end}"] = rng.standard_normal((12, inputs))
            arrays[f"weight_hh_l{layer}{end}"] = rng.standard_normal((12, 3)) / 2
            arrays[f"bias_ih_l{layer}{end}"] = rng.standard_normal(12)
            arrays[f"bias_hh_l{layer}{end}"] = rng.standard_normal(12)
    path = tmp_path / "model.npz"
    np.savez(path, **arrays)
    return path


def test_imported_weights_are_the_ones_that_are_measured(state_dict):
    made = gradflow.configure(
        model={"cell": "lstm", "weights": str(state_dict)},
        inputs={"kind": "digits", "sequences": 2},
        loss={"kind": "sum", "at": "all"},
        length=12,
        record={"states": ["h", "c", "s", "x"]},
    )
    (first,) = measure(bundle(plan(made))[0])
    imported = weights.read_weights(state_dict)
    net = Network.of(imported.cell, imported.inputs, 2, True)
    x = sources.load_inputs(made.inputs, 12, 0).x
    loss = Sum(at="all")
    norms = Norms(Timeline(net, loss, [12], 1, 2), ["h", "c", "s", "x"])
    backpropagate(net, imported.weights, x, loss, [12], [norms], Schedule(5))
    for name, want in norms.quantities(0, 12).items():
        np.testing.assert_allclose(first[name].values, want.values, rtol=1e-12, atol=1e-12)


def test_noise_moves_the_numbers_by_about_as_much():
    made = gradflow.configure(
        model={"cell": "gru", "hidden": 4}, inputs={"kind": "noise"}, length=10
    )
    (piece,) = bundle(plan(made))
    (still,), (shaken,) = measure(piece), measure(piece, noise=1e-6)
    gap = np.abs(shaken["h"].values - still["h"].values).max()
    assert 1e-9 < gap < 1e-4


@pytest.mark.parametrize(
    ("state", "at", "length", "every", "decades"),
    [("s", (500,), 2000, "log", -15.7), ("x", "last", 300, 1000, -10.4)],
)
def test_the_far_end_is_recorded_however_few_the_steps(state, at, length, every, decades):
    """Counted back from the end of time, the loss step and step 1 of the inputs were left out."""
    values = []
    for each in (every, 1):
        made = gradflow.configure(
            model={"cell": "rnn", "hidden": 16},
            inputs={"kind": "digits", "sequences": 2},
            loss={"kind": "probe", "at": at},
            length=length,
            record={"states": [state], "every": each},
        )
        (result,) = measure(bundle(plan(made))[0])
        lag, curves = result[state].coords["lag"][0], result[state].values[0, 0]
        assert (lag == 0).any()
        values.append(np.median(curves[:, 0] - curves[:, lag == 0][:, 0]))
    assert values[0] == values[1] == pytest.approx(decades, rel=0.005)


def test_a_part_of_a_run_has_the_face_of_the_whole():
    flow = gradflow.run(
        gradflow.configure(
            name="whole", model={"cell": "cec"}, inputs={"kind": "noise"}, sweep={"length": [3, 5]}
        )
    )
    part = flow.source.part(flow.select(length=5))
    assert (part.name, part.path) == (flow.source.name, flow.source.path)
    assert [point.length for point in part.points] == [5]


@pytest.mark.parametrize(
    ("scale", "init", "off"), [(1.0, {}, 2e-6), (1.0, {"like": "pytorch"}, 2e-5), (10.0, {}, 1e-4)]
)
def test_float32_has_the_digits_that_the_page_on_quantities_says(scale, init, off):
    found = []
    for dtype in ("float64", "float32"):
        flow = gradflow.run(
            gradflow.configure(
                model={"cell": "rnn", "hidden": 32},
                inputs={"kind": "noise", "scale": scale},
                init=init,
                dtype=dtype,
                length=100,
                sweep={"model.cell": ["rnn", "lstm", "gru"]},
            )
        )
        found.append([flow.get("h", cell=cell).values for cell in ("rnn", "lstm", "gru")])
    apart = np.abs(np.subtract(*found)).max()
    assert off / 30 < apart < off
