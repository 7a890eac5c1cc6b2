"""Horizons against passes whose adjoint is rounded to a format in every step."""

from __future__ import annotations

import numpy as np
import pytest

import gradflow
from gradflow.experiment.measure.plan import bundle, plan
from gradflow.experiment.measure.setting import prepare
from gradflow.report.read.horizons import LIMITS

TENTH = np.log10(1.1)
"""An error by a tenth, in decades."""


def experiment(cell, init, length):
    return gradflow.configure(
        model={"cell": cell, "hidden": 32},
        inputs={"kind": "digits", "sequences": 4},
        init=init,
        length=length,
        seed=0,
    )


def norms(asked, length, dtype):
    """log10 of the adjoint's norm (lag, sequence), each step's result rounded to a format."""
    (one,) = bundle(plan(asked))
    setting = prepare(one.points[0].config, [0], length)
    cell, p = setting.net.layers[0].cell, setting.weights[0][0]
    state = tuple(np.zeros((1, size, 4)) for size in cell.sizes)
    caches = []
    for x in setting.x:
        state, cache = cell.step(p, state, cell.drive(p, x))
        caches.append(cache)
    found = []
    probe = np.random.default_rng(0).standard_normal(state[0].shape)
    probe = (probe / np.linalg.norm(probe, axis=1, keepdims=True)).astype(dtype)
    ds = (probe, *(np.zeros_like(part) for part in state[1:]))
    for cache in [*caches[::-1], None]:
        square = sum((part.astype(float) ** 2).sum(axis=1)[0] for part in ds)
        with np.errstate(divide="ignore"):
            found.append(np.log10(np.sqrt(square)))
        if cache is None:
            break
        before, *_ = cell.step_vjp(
            p, cell.linearise(p, cache), tuple(part.astype(float) for part in ds)
        )
        with np.errstate(under="ignore"):
            ds = tuple(part.astype(dtype) for part in before)
    return np.array(found)


@pytest.mark.parametrize(
    ("format", "cell", "init", "length"),
    [
        ("float16", "gru", {}, 120),
        ("float16", "gru", {"bias": {"z": -2}}, 300),
        ("float16", "rnn", {"recurrent_gain": 0.5}, 60),
        ("float16", "rnn", {"recurrent_gain": 0.9}, 200),
        ("float16", "lstm", {}, 300),
        ("float16", "lstm", {"forget_bias": 0}, 120),
        ("float32", "gru", {}, 450),
        ("float32", "rnn", {"recurrent_gain": 0.5}, 250),
        ("float32", "lstm", {"forget_bias": 0}, 600),
    ],
)
def test_from_the_horizon_on_a_format_is_wrong(format, cell, init, length):
    asked = experiment(cell, init, length)
    (summary,) = gradflow.run(asked).summary("s")
    said = summary.horizons[format]
    assert said.reads == "rounded"
    off = norms(asked, length, np.dtype(format)) - norms(asked, length, np.float64)
    wrong = int((np.median(np.abs(off), axis=1) > TENTH).argmax())
    assert 0 < wrong < length
    assert said.lag == pytest.approx(wrong, rel=0.15)


def test_a_slow_decay_freezes_and_does_not_reach_zero():
    """The norm alone was told to read 0 at lag ~259; rounding to nearest keeps it alive."""
    asked = experiment("gru", {"bias": {"z": -2}}, 400)
    true, held = (norms(asked, 400, dtype) for dtype in (np.float64, np.float16))
    assert (true[-1] < LIMITS["float16"].zero).all()
    assert np.isfinite(held[-1]).all()
    assert (held[-1] - true[-1] > 2).all()
