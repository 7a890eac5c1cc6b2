"""Published outputs of recurrent cells: numbers that other projects state in their own tests.

Only the numbers are taken, in the layout of their source, and turned into our conventions by
`gradflow.testing.published.convert`. They were computed and printed in single precision.

Sources
-------
ONNX Runtime, https://github.com/microsoft/onnxruntime, MIT licence, files under
onnxruntime/test/providers/cpu/rnn/: deep_cpu_lstm_op_test.cc (commit 00ca16892218),
deep_cpu_gru_op_test.cc (commit 0291220be484), rnn_op_test.cc (commit 1164b9004066).

Keras, https://github.com/keras-team/keras, Apache-2.0 licence, files under keras/src/layers/rnn/:
lstm_test.py (commit 12ada9a35eed), gru_test.py (commit 03313da2aabb), simple_rnn_test.py (commit
4e66d1b32a36), bidirectional_test.py (commit 17dff27bfe57), stacked_rnn_cells_test.py (commit
51d7e77046f5).
"""

from __future__ import annotations

from functools import cache

from gradflow.testing.published.case import SINGLE, Published
from gradflow.testing.published.convert import from_keras, from_onnx, linear_stack
from gradflow.testing.published.keras_cases import KERAS
from gradflow.testing.published.onnx_gru import GRU
from gradflow.testing.published.onnx_lstm import LSTM
from gradflow.testing.published.onnx_rnn import RNN

__all__ = ["SINGLE", "Published", "published"]


@cache
def published(label: str | None = None) -> tuple[Published, ...]:
    """All published cases, or those of the cell with a label."""
    if label is not None:
        return tuple(case for case in published() if case.net.label == label)
    cases = [case for onnx in (*LSTM, *GRU, *RNN) for case in from_onnx(onnx)]
    cases += [case for keras in KERAS for case in from_keras(keras)]
    return (*cases, linear_stack())
