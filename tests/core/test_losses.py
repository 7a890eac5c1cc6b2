"""Losses: their values, where they look, the readout's gradients, and initial states."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradflow.core.cells import GRU, LSTM, RNN
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.forward import forward, outputs
from gradflow.core.engine.observe import Reading
from gradflow.core.engine.schedule import Schedule
from gradflow.core.engine.tape import Keep
from gradflow.core.network.losses import (
    LOSSES,
    CrossEntropy,
    Given,
    Loss,
    MeanSquaredError,
    Probe,
    Sum,
)
from gradflow.core.network.readout import Readout
from gradflow.core.network.stack import Layer, Network, States, Weights
from gradflow.core.record import Adjoints, Gradients
from gradflow.core.scaled import Scaled
from tests.variants import draw

F, STEPS, NETS, COLUMNS, TINY = 2, 7, 2, 3, 1e-200

Array = np.ndarray[Any, Any]


class Heard(Gradients):
    """Gradients, and the loss's value as it goes by."""

    def __init__(self, net: Network, **options: Any) -> None:
        super().__init__(net, **options)
        self.value: Array | float = 0.0

    def reading(self, reading: Reading) -> None:
        super().reading(reading)
        new = reading.values
        old = np.zeros_like(new)
        old[: np.size(self.value, 0) if np.ndim(self.value) else 0] = self.value
        self.value = old + new


def mixed(both: bool) -> tuple[Network, Weights, Array]:
    rng = np.random.default_rng(2)
    net = Network(F, (Layer(GRU(3), bidirectional=both), Layer(LSTM(2), bidirectional=both)))
    ways = 2 if both else 1
    weights = tuple(
        draw(layer.cell, rng, inputs=net.features(k), directions=ways, nets=NETS)[0]
        for k, layer in enumerate(net.layers)
    )
    return net, weights, rng.normal(size=(STEPS, 1, F, COLUMNS))


def seen(net: Network, weights: Any, x: Array, start: States | None, loss: Loss) -> Array:
    """L of each net and sequence from a forward pass alone, of numbers that may be complex."""
    states = net.initial(NETS, COLUMNS, np.dtype(complex), start)
    weights = tuple(
        tuple({name: a.astype(complex) for name, a in p.items()} for p in layer)
        for layer in weights
    )
    tapes, after = forward(net, weights, x.astype(complex), states, [(0, len(x))], keep=Keep.STATES)
    y, at = outputs(tapes[-1]), loss.steps(len(x))
    if loss.at == "ends":
        which = net.layers[-1].cell.parts.index(loss.of)
        y = np.concatenate([state[which] for state in after[-1]], axis=-2)[None]
        return value(loss, y, at).sum(axis=0)
    return value(loss, y[at - 1], at).sum(axis=0)


def value(loss: Loss, y: Array, at: Array) -> Array:
    o = loss.read(y)
    if isinstance(loss, CrossEntropy):  # np.logaddexp knows no complex numbers
        target = loss.target(at)[..., None, :]
        hit = np.arange(o.shape[-2])[:, None] == target
        lost = np.log(np.exp(o).sum(axis=-2)) - np.where(hit, o, 0).sum(axis=-2)
        return np.where(target[..., 0, :] >= 0, lost, 0)
    return loss.value(o, loss.target(at))


def losses(net: Network, at: Any, of: str = "h") -> list[Loss]:
    rng = np.random.default_rng(3)
    width, rows = net.width(of), 4
    readout = Readout(rng.normal(size=(NETS, rows, width)), rng.normal(size=(NETS, rows, 1)))
    values = rng.normal(size=(STEPS, 1, rows, COLUMNS))
    values[-1, 0, 1, 0] = np.nan
    classes = rng.integers(-1, rows, size=(STEPS, 1, COLUMNS))
    where: dict[str, Any] = {"at": at, "of": of}
    return [
        Probe(rng.normal(size=(NETS, rows, COLUMNS)), readout=readout, **where),
        Probe(rng.normal(size=(NETS, width, COLUMNS)), **where),
        Sum(**where),
        MeanSquaredError(readout=readout, targets=values, **where),
        CrossEntropy(readout=readout, targets=classes, **where),
        Given(targets=rng.normal(size=(STEPS, NETS, width, COLUMNS)), **where),
    ]


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(
    ("at", "of"), [("last", "h"), ("all", "h"), ((2, 5), "h"), ("ends", "h"), ("ends", "c")]
)
def test_everything_by_the_complex_step(at: Any, of: str, both: bool):
    """∂L/∂ of initial states, parameters and readout, from initial states that are not 0."""
    net, weights, x = mixed(both)
    rng = np.random.default_rng(5)
    start = tuple(
        tuple(
            tuple(rng.normal(size=(1, size, COLUMNS)) for size in layer.cell.sizes)
            for _ in layer.directions
        )
        for layer in net.layers
    )
    for loss in losses(net, at, of):
        adjoints, heard = Adjoints(net), Heard(net)
        backpropagate(net, weights, x, loss, [STEPS], [adjoints, heard], Schedule(3), initial=start)
        same(heard.value, seen(net, weights, x, start, loss).real)
        for layer, direction in net.places():
            place = (layer, direction)
            for part in range(len(net.layers[layer].cell.parts)):
                d = rng.normal(size=start[layer][direction][part].shape)
                nudged = replaced(start, (*place, part), 1j * TINY * d)
                wanted = seen(net, weights, x, nudged, loss).imag / TINY
                found = (own(adjoints.sums[*place, 0], part) * d).sum(axis=1)
                same(found, wanted)
            for name, a in weights[layer][direction].items():
                d = rng.normal(size=a.shape)
                nudged = replaced(weights, (*place, name), 1j * TINY * d)
                wanted = seen(net, nudged, x, start, loss).imag.sum(axis=1) / TINY
                found = (heard.weights[layer][direction][name] * d).sum(axis=(1, 2))
                same(found, wanted)
        if loss.readout is not None:
            assert set(heard.readout) == {"V", "b"}
        for name, found in heard.readout.items():
            given = {"V": loss.readout.V, "b": loss.readout.b}
            d = rng.normal(size=given[name].shape)
            readout = Readout(**{**given, name: given[name] + 1j * TINY * d})
            other = replace(loss, readout=readout)
            wanted = seen(net, weights, x, start, other).imag.sum(axis=1) / TINY
            same((found * d).sum(axis=(1, 2)), wanted)


def own(adjoint: Scaled, part: int) -> Array:
    return Scaled((adjoint.parts[part],), adjoint.exponent).plain


def replaced(nested: Any, at: Any, added: Array) -> Any:
    """The same with an array added at a place, tuples and mappings as they are."""
    if not at:
        return nested + added
    first, *rest = at
    if isinstance(nested, dict):
        return {**nested, first: replaced(nested[first], rest, added)}
    return tuple(
        replaced(each, rest, added) if k == first else each for k, each in enumerate(nested)
    )


def test_lengths_and_sequences_apart_add_up():
    """Gradients of each length and sequence are those of runs of their own."""
    net, weights, x = mixed(both=False)
    for loss in losses(net, "last") + losses(net, "ends", "c"):
        together, apart = Heard(net), Heard(net, each_sequence=True)
        lengths = [STEPS, 4, 2]
        backpropagate(net, weights, x, loss, lengths, [together, apart], Schedule(3))
        for j, length in enumerate(lengths):
            alone = Heard(net)
            backpropagate(net, weights, x, loss, [length], [alone], Schedule(3))
            np.testing.assert_allclose(together.value[j], alone.value, rtol=1e-12)
            for place, total in alone.sums.items():
                same(together.sums[place].plain[j], total.plain)
                same(apart.sums[place].plain[j].sum(axis=1), total.plain)
            for name, wanted in alone.readout.items():
                same(together.readout[name][j], wanted)
                same(apart.readout[name][j].sum(axis=1), wanted)


def same(found: Array, wanted: Array) -> None:
    assert found.shape == wanted.shape
    assert np.linalg.norm(found - wanted) <= 1e-11 * np.linalg.norm(wanted)


def test_cross_entropy_keeps_its_digits_near_certainty():
    """1 − p = 2 e^−64 = 3.2e-28 is far below the rounding of p: value and slope still know it."""
    o = np.array([64.0, 0.0, 0.0])[None, None, :, None]
    loss = CrossEntropy(targets=np.zeros((1, 1, 1), int))
    left = 2 * np.exp(-64.0)
    np.testing.assert_allclose(loss.value(o, loss.targets), left, rtol=1e-14)
    slope = loss.slope(o, loss.targets)[0, 0, :, 0]
    np.testing.assert_allclose(slope, [-left, left / 2, left / 2], rtol=1e-14)


def test_what_makes_no_sense_says_so():
    with pytest.raises(ValueError, match="a loss on c looks at the end of the state"):
        Sum(of="c")
    with pytest.raises(ValueError, match="the loss mse needs targets: values"):
        MeanSquaredError()
    net = Network.of(RNN(2), 1)
    p = {name: np.zeros((1, *q.shape)) for name, q in net.parameters(0).items()}
    loss = Sum(at="ends", of="c")
    with pytest.raises(ValueError, match="the loss looks at c, but rnn has no such part"):
        backpropagate(net, ((p,),), np.zeros((2, 1, 1, 1)), loss, [2], [], Schedule(2))
    with pytest.raises(ValueError, match=r"the initial state of rnn \(layer 0\) is shaped"):
        net.initial(1, 1, np.dtype(float), (((np.zeros((1, 3, 1)),),),))
    with pytest.raises(ValueError, match="V and b of a readout do not fit"):
        Readout(np.zeros((1, 2, 3)), np.zeros((1, 3, 1)))


def test_a_readout_is_drawn_with_a_variance_of_one_over_its_outputs():
    V = Readout.draw(4000, 3, (0, 1), np.dtype(np.float64)).V
    assert V.shape == (2, 4000, 3)
    assert np.var(V) == pytest.approx(1 / 3, rel=5 * np.sqrt(2 / V.size))


def test_the_registry_knows_them():
    assert LOSSES.names()[:5] == ("probe", "sum", "mse", "cross_entropy", "given")
