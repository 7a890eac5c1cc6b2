"""Keras's cases (Apache-2.0 licence)."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradflow.core.typing import Array
from gradflow.testing.published.case import Keras, numbers


def _count(*shape: int) -> Array:
    return np.arange(np.prod(shape), dtype=float).reshape(shape)


def _same(units: int, *values: float) -> Array:
    """Constant weights make the units equal: one number for each sequence."""
    return np.repeat(numbers(*values)[:, None], units, axis=1)


_LONG = _count(3, 6, 4)
_MID = _count(2, 4, 3)
_SHORT = _count(2, 3, 4)
_START = _count(2, 2)


def _keras(test: str, kind: str, units: int, x: Array, *values: float, **rest: Any) -> Keras:
    return Keras(test, kind, units, x, _same(units, *values), **rest)


_LSTM_TEST, _GRU_TEST, _RNN_TEST = "LSTMTest.test_", "GRUTest.test_", "SimpleRNNTest.test_"
_BOTH_TEST = "bidirectional_test.py SimpleRNNTest.test_"

KERAS = (
    _keras(_LSTM_TEST + "correctness", "lstm", 3, _LONG, 0.6288687, 0.86899155, 0.9460773),
    _keras(
        _LSTM_TEST + "correctness, go_backwards", "lstm", 3, _LONG,
        0.35622165, 0.74789524, 0.8872726, go_backwards=True,
    ),
    _keras(
        _LSTM_TEST + "correctness, unit_forget_bias=False", "lstm", 3, _LONG,
        0.57019705, 0.8661914, 0.9459622, unit_forget_bias=False,
    ),
    _keras(
        _LSTM_TEST + "correctness, use_bias=False", "lstm", 3, _LONG,
        0.54986924, 0.86226785, 0.9443936, bias=None,
    ),
    _keras(_LSTM_TEST + "statefulness", "lstm", 4, _SHORT, 0.3124785, 0.6863672, repeat=2),
    Keras(
        _LSTM_TEST + "pass_initial_state", "lstm", 2, _MID,
        numbers(0.20574439, 0.3558822, 0.64930826, 0.66276).reshape(2, 2), initial=(_START, _START),
    ),
    Keras(
        _LSTM_TEST + "pass_initial_state, go_backwards", "lstm", 2, _MID,
        numbers(0.13281618, 0.2790356, 0.5839337, 0.5992567).reshape(2, 2),
        initial=(_START, _START), go_backwards=True,
    ),
    Keras(
        _BOTH_TEST + "return_state", "lstm", 2, _MID,
        numbers(
            0.1990008, 0.1990008, 0.12659755, 0.12659755,
            0.52335435, 0.52335435, 0.44717982, 0.44717982,
        ).reshape(2, 4),
        bidirectional=True,
        c=numbers(
            0.35567185, 0.35567185, 0.2501858, 0.2501858,
            1.0492687, 1.0492687, 0.941473, 0.941473,
        ).reshape(2, 4),
    ),
    _keras(_GRU_TEST + "correctness", "gru", 3, _LONG, 0.5217289, 0.6371659, 0.39384964),
    _keras(
        _GRU_TEST + "correctness, go_backwards", "gru", 3, _LONG,
        0.24406259, 0.611516, 0.3928808, go_backwards=True,
    ),
    _keras(
        _GRU_TEST + "correctness, reset_after=False", "gru", 3, _LONG,
        0.51447755, 0.6426879, 0.40208298, reset_after=False,
    ),
    _keras(
        _GRU_TEST + "correctness, use_bias=False", "gru", 3, _LONG,
        0.49988455, 0.64701194, 0.4103359, bias=None,
    ),
    _keras(_GRU_TEST + "statefulness", "gru", 4, _SHORT, 0.29542392, 0.5885018, repeat=2),
    Keras(
        _GRU_TEST + "pass_initial_state", "gru", 2, _MID,
        numbers(0.23774096, 0.33508456, 0.83659905, 1.0227708).reshape(2, 2), initial=(_START,),
    ),
    Keras(
        _GRU_TEST + "pass_initial_state, go_backwards", "gru", 2, _MID,
        numbers(0.13486053, 0.23261218, 0.78257304, 0.9691353).reshape(2, 2),
        initial=(_START,), go_backwards=True,
    ),
    _keras(_RNN_TEST + "correctness", "rnn", 4, _SHORT, 0.405432, 0.73605347),
    _keras(
        _RNN_TEST + "correctness, go_backwards", "rnn", 4, _SHORT,
        0.11144729, 0.5528889, go_backwards=True,
    ),
    _keras(_RNN_TEST + "statefulness", "rnn", 4, _SHORT, 0.40559256, 0.7361247, repeat=2),
    _keras(
        _RNN_TEST + "pass_initial_state", "rnn", 4, _MID,
        0.33621645, 0.6262637, initial=(_count(2, 4),),
    ),
    Keras(
        _BOTH_TEST + "correctness", "rnn", 2, _SHORT,
        numbers(
            0.39687276, 0.39687276, 0.10004295, 0.10004295,
            0.7237238, 0.7237238, 0.53391594, 0.53391594,
        ).reshape(2, 4),
        bidirectional=True,
    ),
)  # fmt: skip

LINEAR_STACK = numbers(18, 156, 786, 162, 1020, 4386).reshape(2, 3)
"""StackedRNNTest.test_correctness_single_state_stack: two linear layers of 3 and 2 units, all
weights 1, no bias, over 0..23 shaped (2, 3, 4); the output (sequence, step) of every top unit."""
