"""Sequences of a batch that end at lengths of their own: each as if it ran alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradflow.core.cells import GRU, LSTM, RNN
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import CrossEntropy, Given, Loss, MeanSquaredError, Probe
from gradflow.core.network.readout import Readout
from gradflow.core.network.stack import Layer, Network, Weights
from gradflow.core.record import Contributions, Gates, Gradients, Kept, Norms, Paths, Timeline
from tests.variants import draw

F, STEPS, NETS = 2, 7, 2
OWN = np.array([4, 7, 1, 4])

Array = np.ndarray[Any, Any]


def stack(both: bool) -> tuple[Network, Weights]:
    rng = np.random.default_rng(2)
    net = Network(F, (Layer(LSTM(3), bidirectional=both), Layer(GRU(2)), Layer(LSTM(2), both)))
    weights = tuple(
        draw(layer.cell, rng, inputs=net.features(k), directions=len(layer.directions), nets=NETS)[
            0
        ]
        for k, layer in enumerate(net.layers)
    )
    return net, weights


def losses(net: Network, at: Any, of: str, columns: Any = slice(None)) -> list[Loss]:
    """Losses of some of the sequences; those of all of them have NaN where sequences have ended."""
    rng, n = np.random.default_rng(3), len(OWN)
    width = net.width(of)
    readout = Readout(rng.normal(size=(NETS, 3, width)), rng.normal(size=(NETS, 3, 1)))
    after = np.arange(1, STEPS + 1)[:, None] > OWN
    given, values = rng.normal(size=(STEPS, NETS, width, n)), rng.normal(size=(STEPS, 1, 3, n))
    given[:, :, :] = np.where(after[:, None, None], np.nan, given)
    values[:] = np.where(after[:, None, None], np.nan, values)
    classes = np.where(after[:, None], -1, rng.integers(3, size=(STEPS, 1, n)))
    probe = rng.normal(size=(NETS, width, n))
    where: dict[str, Any] = {"at": at, "of": of}
    return [
        Probe(probe[..., columns], **where),
        MeanSquaredError(readout=readout, targets=values[..., columns], **where),
        CrossEntropy(readout=readout, targets=classes[..., columns], **where),
        Given(targets=given[..., columns], **where),
    ]


PLACES = [
    ("last", "h", (0, 1)), ("all", "h", (2, 3)), ((1, 3, 6), "h", (1, 3)),
    ("ends", "h", (0, 2)), ("ends", "c", (1, 3)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("at", "of", "chosen", "both"),
    [
        pytest.param(*place, both, marks=pytest.mark.extras if (k + both) % 2 else ())
        for k, place in enumerate(PLACES)
        for both in (False, True)
    ],
)
def test_each_sequence_as_if_alone(at: Any, of: str, chosen: tuple[int, ...], both: bool):
    """Norms, paths, gates, gradients, initial states; what stands after the end is never read."""
    net, weights = stack(both)
    rng = np.random.default_rng(4)
    x = rng.normal(size=(STEPS, 1, F, len(OWN)))
    start = tuple(
        tuple(
            tuple(rng.normal(size=(1, size, len(OWN))) for size in layer.cell.sizes)
            for _ in layer.directions
        )
        for layer in net.layers
    )
    spoilt = np.where(np.arange(STEPS)[:, None, None, None] < OWN, x, np.nan)
    for which in chosen:
        loss, keep = losses(net, at, of)[which], which > 1
        timeline = Timeline(net, loss, [STEPS], NETS, len(OWN), own_lengths=OWN)
        seen = observers(timeline)
        gradients = Gradients(net, each_sequence=True)
        backpropagate(
            net, weights, spoilt, loss, [STEPS], [*seen, gradients], Schedule(3, keep=keep),
            initial=start, own_lengths=OWN,
        )  # fmt: skip
        for j, length in enumerate(OWN.tolist()):
            one = slice(j, j + 1)
            alone = losses(net, within(at, length), of, one)[which]
            own = Timeline(net, alone, [length], NETS, 1)
            singles, total = observers(own), Gradients(net)
            begin = tuple(
                tuple(tuple(part[..., one] for part in state) for state in layer) for layer in start
            )
            backpropagate(
                net, weights, x[:length, ..., one], alone, [length], [*singles, total],
                Schedule(4), initial=begin,
            )  # fmt: skip
            for many, single in zip(seen, singles, strict=True):
                compare(many.quantities(1, STEPS), single.quantities(1, length), j, length)
            for place, wanted in total.sums.items():
                close(gradients.sums[place].plain[:, j], wanted.plain)
            for name, array in total.readout.items():
                close(gradients.readout[name][:, j], array)


def within(at: Any, length: int) -> Any:
    return tuple(t for t in at if t <= length) if isinstance(at, tuple) else at


def observers(timeline: Timeline) -> list[Any]:
    every: list[Any] = [Norms(timeline, ["h", "c", "s", "x"])]
    return every + [one(timeline) for one in (Gates, Contributions, Paths, Kept)]


def compare(many: Any, single: Any, j: int, length: int) -> None:
    assert many.keys() == single.keys()
    for name, wanted in single.items():
        found = many[name]
        if "step" not in found.dims:
            close(np.nan_to_num(found.values[..., j]), np.nan_to_num(wanted.values[..., 0]))
            continue
        steps = found.coords["step"]
        own = found.values[..., j, :]
        assert np.isnan(own[..., steps > length]).all()
        chosen = np.isin(steps, wanted.coords["step"])
        a, b = own[..., chosen], wanted.values[..., 0, :]
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b), err_msg=name)
        np.testing.assert_array_equal(a == -np.inf, b == -np.inf, err_msg=name)
        finite = np.isfinite(b)
        np.testing.assert_allclose(a[finite], b[finite], rtol=1e-9, atol=1e-11, err_msg=name)
        np.testing.assert_array_equal(found.coords["lag"][:, j, chosen], wanted.coords["lag"])


def close(found: Array, wanted: Array) -> None:
    assert np.linalg.norm(found - wanted) <= 1e-10 * np.linalg.norm(wanted)


@pytest.mark.parametrize("of", ["h", "c"])
def test_error_from_beyond_the_end_is_as_a_loss_on_it(of: str):
    net, weights = stack(both=True)
    x = np.random.default_rng(4).normal(size=(STEPS, 1, F, len(OWN)))
    d = np.random.default_rng(5).normal(size=(NETS, net.width(of), len(OWN)))
    given = Given(at="ends", of=of, targets=np.broadcast_to(d, (STEPS, *d.shape)))
    nothing = Given(at="ends", targets=np.zeros((STEPS, NETS, net.width("h"), len(OWN))))
    ways = np.split(d, 2, axis=-2)
    beyond = tuple(
        tuple(
            tuple(
                ways[way] if layer == len(net.layers) - 1 and part == of else np.zeros((1, n, 1))
                for part, n in zip(one.cell.parts, one.cell.sizes, strict=True)
            )
            for way in range(len(one.directions))
        )
        for layer, one in enumerate(net.layers)
    )
    found = []
    for looks, after in ((given, None), (nothing, beyond)):
        norms = Norms(Timeline(net, given, [STEPS], NETS, len(OWN), own_lengths=OWN), "hcsx")
        backpropagate(
            net, weights, x, looks, [STEPS], [norms], Schedule(3),
            own_lengths=OWN, beyond=after,
        )  # fmt: skip
        found.append(norms.quantities(1, STEPS))
    for name, wanted in found[0].items():
        np.testing.assert_allclose(found[1][name].values, wanted.values, rtol=1e-12, err_msg=name)


def test_what_makes_no_sense_says_so():
    net = Network.of(RNN(2), 1)
    p = {name: np.zeros((1, *q.shape)) for name, q in net.parameters(0).items()}
    x, loss = np.zeros((3, 1, 1, 2)), Probe(np.ones((1, 2, 2)))
    for own in ([1], [0, 3], [1, 4]):
        with pytest.raises(ValueError, match="2 sequences of at most 3 steps need as many lengths"):
            backpropagate(net, ((p,),), x, loss, [3], [], Schedule(2), own_lengths=np.array(own))
    with pytest.raises(ValueError, match="belongs to one length"):
        backpropagate(net, ((p,),), x, loss, [3, 2], [], Schedule(2), beyond=((),))
    with pytest.raises(ValueError, match="unrolled to one length at a time"):
        backpropagate(net, ((p,),), x, loss, [3, 2], [], Schedule(2), own_lengths=np.array([1, 3]))
