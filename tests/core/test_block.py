"""The parameter counts of the literature's nets of memory-cell blocks."""

from __future__ import annotations

import pytest

from gradflow.core.cells import MemoryBlock
from gradflow.core.learning.parameters import Layout
from gradflow.core.network.readout import Head
from gradflow.core.network.stack import Network

GERS = {"forget_gate": True, "feedback": "cells", "biases": "gates"}


@pytest.mark.parametrize(
    ("inputs", "blocks", "size", "options", "outputs", "readout", "count"),
    [
        (7, 4, 1, {"biases": "gates"}, 7, {"bias": False}, 264),
        (7, 3, 2, {"biases": "gates"}, 7, {"bias": False}, 276),
        (2, 2, 2, {}, 1, {}, 93),
        (8, 2, 2, {}, 4, {}, 156),
        (8, 3, 2, {}, 8, {}, 308),
        (1, 3, 1, {}, 1, {"bias": False}, 102),
        (54, 2, 1, {"biases": "none"}, 2, {"bias": False}, 364),
        (104, 2, 1, {"biases": "none"}, 2, {"bias": False}, 664),
        (7, 4, 2, GERS, 7, {"shortcut": True}, 424),
    ],
    ids=[
        "embedded Reber 4×1",
        "embedded Reber 3×2",
        "adding",
        "temporal order, 4 classes",
        "temporal order, 8 classes",
        "two-sequence",
        "long lags with 50 distractors",
        "long lags with 100 distractors",
        "continual Reber (Gers et al. 2000)",
    ],
)
def test_parameters_are_as_many_as_published(
    inputs, blocks, size, options, outputs, readout, count
):
    cell = MemoryBlock(blocks, size=size, **{"feedback": "all", **options})
    net = Network.of(cell, inputs)
    assert Layout(net, Head(outputs, **readout)).size == count
    assert net.outputs == blocks * size


@pytest.mark.parametrize("options", [{"size": 0}, {"activation": "cube"}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        MemoryBlock(2, **options)
