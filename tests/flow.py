"""The engine in one call: norms and cotangents of a network given as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import At, Loss, Probe
from gradflow.core.network.stack import Network, Weights
from gradflow.core.record import Adjoints, Norms, Timeline

Array = np.ndarray[Any, Any]


def unit(net: Network, nets: int, columns: int, at: At = "last", seed: int = 0) -> Loss:
    """A probe along random unit vectors, one for each net and sequence."""
    v = np.random.default_rng(seed).normal(size=(nets, net.outputs, columns))
    return Probe(v / np.linalg.norm(v, axis=1, keepdims=True), at=at)


def nets_of(weights: Weights) -> int:
    return len(next(iter(weights[0][0].values())))


def norms(
    net: Network,
    weights: Weights,
    x: Array,
    loss: Loss | None = None,
    *,
    states: Sequence[str] = ("h", "c", "s", "x"),
    schedule: Schedule | None = None,
) -> dict[str, Array]:
    """log10 norms by name, each (nets, layers, directions, sequences, steps)."""
    nets = nets_of(weights)
    loss = loss or unit(net, nets, x.shape[-1])
    observer = Norms(Timeline(net, loss, [len(x)], nets, x.shape[-1]), list(states))
    backpropagate(net, weights, x, loss, [len(x)], [observer], schedule or Schedule(64))
    return {name: series.values[0] for name, series in observer.series.items()}


def vectors(
    net: Network, weights: Weights, x: Array, loss: Loss, schedule: Schedule | None = None
) -> dict[tuple[str, int, int, int], tuple[Array, Array]]:
    """Cotangents by (name, layer, direction, step) as m·2^e, |m| in [½, 1) or 0, e as integers.

    Two of them are equal bit for bit where m and e are, at whatever exponent they were carried.
    """
    observer = Adjoints(net, inputs=True)
    backpropagate(net, weights, x, loss, [len(x)], [observer], schedule or Schedule(64))
    found = {
        (name, *place): observer.of(name, *place)
        for place in observer.sums
        for part in net.layers[place[0]].cell.parts
        for name in {part, part if part == "h" else f"carried_{part}"}
    }
    found |= {("x", 0, 0, step): value for step, value in observer.x.items()}
    out = {}
    for key, scaled in found.items():
        m, e = np.frexp(scaled.values)
        out[key] = m, np.where(m == 0, 0, e + scaled.exponent)
    return out


def same(found: dict[str, Array], wanted: dict[str, Array]) -> None:
    """Norms to rounding."""
    assert found.keys() == wanted.keys()
    for name in found:
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-11, err_msg=name)


def identical(found: dict[Any, Any], wanted: dict[Any, Any]) -> None:
    """Vectors bit for bit."""
    assert found.keys() == wanted.keys()
    for key, (m, e) in found.items():
        np.testing.assert_array_equal(m, wanted[key][0], err_msg=str(key))
        np.testing.assert_array_equal(e, wanted[key][1], err_msg=str(key))
