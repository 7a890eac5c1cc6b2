"""ONNX Runtime's GRU cases (deep_cpu_gru_op_test.cc, MIT licence)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradflow.core.typing import Array
from gradflow.testing.published.case import SMALL_X, Onnx, both, numbers

_GRU_ROWS = {
    "x": numbers(1, 2, 10, 11).reshape(2, 2, 1),
    "W": numbers(0.1, 0.2, 0.3, 1, 2, 3, 10, 11, 12).reshape(1, 9, 1),
    "R": np.full((1, 9, 3), 0.1),
}
_GRU_ROWS_FORWARD = numbers(
    0.4750208, 0.450166, 0.4255575, 0.45016602, 0.40131235, 0.35434368,
    0.6027093, 0.5083023, 0.44950223, 0.5754369, 0.45485455, 0.3747841,
).reshape(2, 1, 2, 3)  # fmt: skip
_GRU_ROWS_REVERSE = numbers(
    0.6082785, 0.50623393, 0.4426924, 0.5803454, 0.4527356, 0.36886263,
    0.26894143, 0.11920292, 0.04742587, 0.24973989, 0.09975048, 0.03557118,
).reshape(2, 1, 2, 3)  # fmt: skip

_GRU_BIASED = {
    "x": numbers(-0.1, 0.2, -0.3, 0.4).reshape(2, 2, 1),
    "W": numbers(0.1, 0.2, 0.3, 0.2, 0.3, 0.1, 0.3, 0.1, 0.2).reshape(1, 9, 1),
    "R": np.full((1, 9, 3), 0.1),
    "B": numbers(
        -0.01, 0.1, 0.01, -0.2, -0.02, 0.02, 0.3, -0.3, -0.3,
        -0.03, 0.5, -0.7, 0.05, -0.7, 0.3, 0.07, -0.03, 0.5,
    ).reshape(1, 18),
}  # fmt: skip

_GRU_SMALL = {  # DeepCpuGruOpTestContext
    "x": SMALL_X,
    "W": numbers(
        -0.494659, 0.0453352, -0.487793, 0.417264, -0.0091708, -0.255364,
        -0.106952, -0.266717, -0.0888852, -0.428709, -0.283349, 0.208792,
    ).reshape(1, 6, 2),
    "R": numbers(
        0.146626, -0.0620289, -0.0815302, 0.100482, -0.228172, 0.405972,
        0.31576, 0.281487, -0.394864, 0.42111, -0.386624, -0.390225,
    ).reshape(1, 6, 2),
    "B": numbers(
        0.381619, 0.0323954, -0.258721, 0.45056, -0.250755, 0.0967895, *[0] * 6
    ).reshape(1, 12),
}  # fmt: skip
_TWICE = np.repeat(SMALL_X, 2, axis=1)
_H0 = numbers(0.5, -0.5, 0, 0).reshape(1, 2, 2)


def _gru(test: str, Y: Array, weights: Mapping[str, Array], hidden: int, **rest: Any) -> Onnx:
    return Onnx(f"GRUTest.{test}", "GRU", hidden, Y=Y, **{**weights, **rest})


AFTER = {"linear_before_reset": True}
GRU = (
    _gru(
        "ForwardDefaultActivationsSimpleWeightsNoBiasTwoRows", _GRU_ROWS_FORWARD, _GRU_ROWS, 3
    ),
    _gru(
        "ReverseDefaultActivationsSimpleWeightsNoBiasTwoRows", _GRU_ROWS_REVERSE, _GRU_ROWS, 3,
        direction="reverse",
    ),
    _gru(
        "BidirectionalDefaultActivationsSimpleWeightsNoBiasTwoRows",
        np.concatenate([_GRU_ROWS_FORWARD, _GRU_ROWS_REVERSE], axis=1),
        both(_GRU_ROWS), 3, direction="bidirectional",
    ),
    _gru(
        "ForwardDefaultActivationsSimpleWeightsWithBiasBatchParallel",
        numbers(
            0.16783132, -0.11754231, 0.11977843, 0.2046872, -0.10372487, 0.15365849,
            0.22688604, -0.19698407, 0.14017843, 0.33386092, -0.15799662, 0.2381169,
        ).reshape(2, 1, 2, 3),
        _GRU_BIASED, 3,
    ),
    _gru(
        "ForwardDefaultActivationsSimpleWeightsWithBiasBatchParallelLinearBeforeReset",
        numbers(
            0.15024948, -0.11097029, -0.02121867, 0.18887489, -0.09747667, 0.02093463,
            0.19538902, -0.19016478, -0.05644283, 0.30856851, -0.15190377, 0.05999807,
        ).reshape(2, 1, 2, 3),
        _GRU_BIASED, 3, attributes=AFTER,
    ),
    _gru(
        "ReverseDefaultActivationsSimpleWeightsWithBiasBatchParallelLinearBeforeReset",
        numbers(
            0.20910699, -0.18880953, -0.04005555, 0.29700265, -0.15308119, 0.04537245,
            0.12252139, -0.12032216, -0.05064924, 0.21249877, -0.08884402, 0.04751285,
        ).reshape(2, 1, 2, 3),
        _GRU_BIASED, 3, attributes=AFTER, direction="reverse",
    ),
    _gru(
        "ONNXRuntime_TestGRUOpForwardBatch",
        numbers(
            0.2366661, -0.1500429, -0.03255286, 0.0774838,
            0.07378622, -0.02782359, -0.05556786, 0.0785508,
        ).reshape(2, 1, 2, 2),
        _GRU_SMALL, 2, x=_TWICE, h0=_H0,
    ),
    _gru(
        "ONNXRuntime_TestGRUOpForwardBatchLinearBeforeReset",
        numbers(
            0.253942400, -0.174207777, -0.0325528607, 0.0774837881,
            0.0874997079, -0.0485242009, -0.0577347837, 0.0796165839,
        ).reshape(2, 1, 2, 2),
        _GRU_SMALL, 2, x=_TWICE, h0=_H0, attributes=AFTER,
    ),
    _gru(
        "ONNXRuntime_TestGRUOpBidirectionalBasic",
        numbers(
            -0.03255286, 0.0774838, -0.05469977, 0.1004222,
            -0.05556786, 0.0785508, -0.04566499, 0.04621252,
        ).reshape(2, 2, 1, 2),
        both(_GRU_SMALL), 2, direction="bidirectional",
    ),
    _gru(
        "ONNXRuntime_TestGRUOpSequenceLengthWithBidirectionalLinearBeforeResetB1",
        numbers(
            -0.0325528607, 0.0774837881, -0.0559310019, 0.101836264,
            -0.0577347837, 0.0796165839, -0.0456649922, 0.0462125242,
        ).reshape(2, 2, 1, 2),
        both(_GRU_SMALL), 2, direction="bidirectional", attributes=AFTER,
    ),
    _gru(
        "ONNXRuntime_TestGRUOpSequenceLengthWithBidirectionalLinearBeforeResetB2",
        numbers(
            -0.275918573, -0.0022855850, -0.385578573, 0.0370728001,
            -0.382134795, 0.0607641526, -0.248751760, 0.0347689129,
        ).reshape(2, 2, 1, 2),
        both(_GRU_SMALL), 2, direction="bidirectional", attributes=AFTER,
        x=numbers(0.855351, 0.676391, 0.585934, 0.669585).reshape(2, 1, 2),
    ),
)  # fmt: skip
