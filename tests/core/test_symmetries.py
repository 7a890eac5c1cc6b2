"""What must come out the same, or shifted, when a measurement is put in another way.

Nets of every kind, with any options, layers, directions, sizes, sequences and steps of the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gradflow.core import cells
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import At, Probe
from gradflow.core.network.stack import Network, Weights
from gradflow.testing import variants
from tests.flow import identical, norms, same, vectors
from tests.variants import draw as weights_of

Array = np.ndarray[Any, Any]

EVERY = [
    cell for kind in cells.names() for size in (1, 3) for cell in variants(cells.get(kind), size)
]


BOTH = st.booleans()


@dataclass
class Case:
    """A net, its weights, its inputs (steps, 1, features, columns) and its loss."""

    net: Network
    weights: Weights
    x: Array
    loss: Probe

    @property
    def nets(self) -> int:
        return len(self.loss.direction)


@st.composite
def cases(draw: st.DrawFn, *, both: st.SearchStrategy[bool] = BOTH) -> Case:
    net = Network.of(
        draw(st.sampled_from(EVERY)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
        draw(both),
    )
    steps, columns, nets = (draw(st.integers(1, most)) for most in (12, 4, 3))
    listed = st.sets(st.integers(1, steps), min_size=1).map(lambda at: tuple(sorted(at)))
    at: At = draw(st.one_of(st.sampled_from(("last", "all")), listed))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    weights = weights_of(
        net.layers[0].cell,
        rng,
        inputs=net.inputs,
        layers=len(net.layers),
        directions=len(net.directions),
        nets=nets,
        gain=draw(st.sampled_from((0.01, 0.5, 1.5))),
    )
    x = rng.normal(size=(steps, 1, net.inputs, columns))
    return Case(net, weights, x, Probe(rng.normal(size=(nets, net.outputs, columns)), at=at))


@settings(max_examples=60)
@given(cases(), st.sampled_from((-900, -1, 1, 900)))
def test_a_loss_times_two_to_the_k_shifts_every_exponent(case: Case, power: int):
    wanted = vectors(case.net, case.weights, case.x, case.loss)
    louder = Probe(np.ldexp(case.loss.direction, power), at=case.loss.at)
    found = vectors(case.net, case.weights, case.x, louder)
    identical(found, {key: (m, np.where(m == 0, 0, e + power)) for key, (m, e) in wanted.items()})


@settings(max_examples=60)
@given(cases(), st.integers(1, 12))
def test_run_again_is_kept(case: Case, block: int):
    """The same numbers, bit for bit, whether tapes are kept or made anew, in blocks of any size."""
    whole, again = (
        vectors(case.net, case.weights, case.x, case.loss, schedule)
        for schedule in (Schedule(64), Schedule(block, keep=False))
    )
    identical(again, whole)


@settings(max_examples=60)
@given(cases())
def test_batched_is_single(case: Case):
    """Nets and sequences side by side, and each of them alone."""
    together = norms(case.net, case.weights, case.x, case.loss)
    for n in range(case.nets):
        own = tuple(tuple({k: a[n : n + 1] for k, a in p.items()} for p in d) for d in case.weights)
        for j in range(case.x.shape[-1]):
            v = case.loss.direction[n : n + 1, :, j : j + 1]
            alone = norms(case.net, own, case.x[..., j : j + 1], Probe(v, at=case.loss.at))
            same(alone, {k: a[n : n + 1, :, :, j : j + 1] for k, a in together.items()})


@settings(max_examples=60)
@given(cases(both=st.just(True)))
def test_reversed_input_swaps_the_directions(case: Case):
    half = case.net.outputs // 2
    swap = np.r_[half : 2 * half, 0:half]
    mirrored = tuple(
        tuple({**p, "U": p["U"][..., swap]} if layer else p for p in directions[::-1])
        for layer, directions in enumerate(case.weights)
    )
    steps, at = len(case.x), case.loss.at
    listed = {"all": range(1, steps + 1), "last": (steps,)}.get(at, at)
    turned = Probe(
        case.loss.direction[:, swap], at=tuple(sorted(steps + 1 - step for step in listed))
    )
    there = norms(case.net, case.weights, case.x, case.loss)
    back = norms(case.net, mirrored, case.x[::-1], turned)
    x_there, x_back = there.pop("x"), back.pop("x")
    same(back, {name: a[:, :, ::-1] for name, a in there.items()})
    np.testing.assert_allclose(x_back, x_there[..., ::-1], rtol=0, atol=1e-11)


@settings(max_examples=40)
@given(cases(both=st.just(False)), st.integers(1, 6))
def test_what_comes_after_the_last_loss_changes_nothing(case: Case, more: int):
    steps = len(case.x)
    at = (steps,) if case.loss.at == "last" else case.loss.at
    loss = Probe(case.loss.direction, at=tuple(range(1, steps + 1)) if at == "all" else at)
    longer = np.concatenate([case.x, 3 + np.abs(case.x[:1].repeat(more, axis=0))])
    found = norms(case.net, case.weights, longer, loss)
    wanted = norms(case.net, case.weights, case.x, loss)
    for name, series in found.items():
        assert (series[..., wanted[name].shape[-1] :] == -np.inf).all()
        found[name] = series[..., : wanted[name].shape[-1]]
    same(found, wanted)


@settings(max_examples=40)
@given(cases())
def test_two_losses_give_the_sum_of_what_each_gives(case: Case):
    """∂(L + L′)/∂s = ∂L/∂s + ∂L′/∂s at every step."""
    rng = np.random.default_rng(0)
    first, at = case.loss.direction, case.loss.at
    second = rng.normal(size=first.shape)
    each = [
        vectors(case.net, case.weights, case.x, Probe(v, at=at))
        for v in (first, second, first + second)
    ]
    for key in each[2]:
        left, right, whole = (np.ldexp(*found[key]) for found in each)
        size = np.abs(left).max() + np.abs(right).max()
        np.testing.assert_allclose(whole, left + right, rtol=0, atol=1e-13 * size, err_msg=str(key))
