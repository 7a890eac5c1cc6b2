"""Which steps are kept, and where they stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradflow.core.cells import RNN
from gradflow.core.network.losses import Sum
from gradflow.core.network.stack import Layer, Network
from gradflow.core.record import Series, Timeline, recorded_steps


@pytest.mark.parametrize(
    ("length", "every", "ends", "steps"),
    [
        (5, 1, (), [0, 1, 2, 3, 4, 5]),
        (10, 4, (), [0, 2, 6, 10]),
        (10, 4, (7,), [0, 3, 7, 10]),
        (10, 4, (7, 4), [0, 3, 4, 7, 8, 10]),
        (10, 1000, (7,), [0, 7, 10]),
    ],
)
def test_strides_count_from_where_error_sets_out(
    length: int, every: int, ends: tuple[int, ...], steps: list[int]
) -> None:
    assert recorded_steps(length, every, ends).tolist() == steps


def test_logarithmic_lags_count_from_where_error_sets_out() -> None:
    steps = recorded_steps(10_000, "log", (500,))
    lags = (500 - steps)[::-1]
    back, on = lags[lags >= 0], -lags[lags <= 0][::-1]
    assert {0, 1, 2, 3, 500} <= set(back.tolist())
    assert {0, 1, 2, 3, 9500} <= set(on.tolist())
    assert 30 < len(back) < 60
    assert (np.diff(back) >= 1).all()


@pytest.mark.parametrize("every", [1, 3, 7, 64, "log"])
@pytest.mark.parametrize("at", ["last", "all", (4, 9), (1,)], ids=str)
@pytest.mark.parametrize("both", [False, True])
def test_both_ends_and_the_loss_step_always_belong(every: Any, at: Any, both: bool) -> None:
    net = Network.of(RNN(2), 1, bidirectional=both)
    timeline = Timeline(net, Sum(at=at), [20], 1, 1, every)
    for first in (0, 1):
        steps = timeline.steps(20, first)
        assert {first, 20, *timeline.ends(20)} <= set(steps.tolist())
        assert (steps[0], steps[-1]) == (first, 20)
        lags = Series(timeline, "s", first=first).quantity(0, 20).coords["lag"]
        assert (lags == 0).any(axis=1).all()
    assert timeline.count(20) == len(timeline.steps(20))


def test_a_backward_direction_has_a_loss_step_of_its_own() -> None:
    net = Network.of(RNN(2), 1, bidirectional=True)
    assert Timeline(net, Sum(at=(4, 9)), [20], 1, 1).ends(20) == (9, 17)
    assert Timeline(net, Sum(), [20], 1, 1).ends(20) == (20, 1)
    assert Timeline(net, Sum(at="ends"), [20], 1, 1).ends(20) == (20, 20)
    above = Network(1, (*net.layers, Layer(RNN(2))))  # which ends at T alone
    assert Timeline(above, Sum(at="ends"), [20], 1, 1).ends(20) == (20, 1)
    own = Timeline(net, Sum(at=(4, 9)), [20], 1, 3, own_lengths=np.array([20, 6, 3]))
    assert own.lags(20, np.array([0])).tolist() == [[[9], [4], [3]], [[17], [3], [3]]]
