"""Nets written under names and read back: the same, bit for bit, in both formats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.core.cells import Cell
from gradflow.core.network.stack import Layer, Network
from gradflow.errors import UserError
from gradflow.experiment.models.inspection import inspect
from gradflow.experiment.models.weights import read_weights
from gradflow.experiment.models.written import packed, written
from gradflow.testing import variants
from tests.variants import draw

EVERY = [cell for kind in cells.names() for cell in variants(cells.get(kind))]


@pytest.mark.parametrize("cell", EVERY, ids=lambda cell: cell.label)
def test_any_net_comes_back(cell: Cell, tmp_path: Path) -> None:
    net = Network.of(cell, 2, 2, True)
    weights = draw(cell, np.random.default_rng(3), inputs=2, layers=2, directions=2, nets=3)
    tensors = written(net, weights, 1)
    for suffix in (".npz", ".safetensors"):
        file = tmp_path / f"net{suffix}"
        file.write_bytes(packed(tensors, suffix))
        found = read_weights(file, kind=cell.kind, options=told(cell))
        for layer, directions in enumerate(weights):
            for way, p in enumerate(directions):
                for name, own in p.items():
                    np.testing.assert_array_equal(found.weights[layer][way][name], own[1:2])


def told(cell: Cell) -> dict[str, Any]:
    """What PyTorch's names do not say."""
    return {"activation": "relu"} if cell.label == "rnn(activation=relu)" else {}


def test_layers_that_differ_come_back(tmp_path: Path) -> None:
    first = cells.get("gru")(3)
    net = Network(2, (Layer(first, True), Layer(replace(first, hidden=2), False)))
    rng = np.random.default_rng(3)
    weights = (
        draw(first, rng, inputs=2, directions=2)[0],
        draw(net.layers[1].cell, rng, inputs=6)[0],
    )
    file = tmp_path / "net.npz"
    file.write_bytes(packed(written(net, weights, 0), ".npz"))
    found = read_weights(file)
    assert found.stack == net.layers
    np.testing.assert_array_equal(found.weights[1][0]["W"], weights[1][0]["W"])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"cells": b"[{]"}, "cells describes no net"),
        ({"cells": json.dumps([{"kind": "cec"}]).encode()}, "cells describes no net"),
        ({"0.forward.W": None}, "0.forward.W is missing"),
        ({"0.forward.U": np.zeros((4, 2))}, "0.forward.U is shaped (4, 2)"),
    ],
)
def test_what_describes_no_net_is_named(
    change: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    cell = cells.get("block")(3)
    tensors = written(Network.of(cell, 2), draw(cell, np.random.default_rng(3), inputs=2), 0)
    for name, value in change.items():
        tensors[name] = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value
    file = tmp_path / "net.npz"
    np.savez(file, **{name: a for name, a in tensors.items() if a is not None})
    with pytest.raises(UserError) as caught:
        read_weights(file)
    assert problem in str(caught.value)
    (told,) = inspect(file).as_json()["nets"]
    assert told["problem"] is None or problem in told["problem"]
    assert (told["problem"] is None) is bool(told["layers"])
