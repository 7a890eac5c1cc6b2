"""The workloads as data, and the one place that draws and converts their arrays.

Arrays are drawn in gradflow's layout: weights (nets, gates · hidden, columns) with the gates in the
order of `GATES`, inputs (steps, features, sequences), probes (nets, outputs, sequences).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

GATES = {
    "lstm": ("f", "i", "o", "g"),
    "coupled": ("f", "o", "g"),
    "peephole": ("f", "i", "o", "g"),
    "lstm1997": ("i", "o", "g"),
    "gru": ("z", "r", "g"),
    "rnn": ("g",),
    "cec": ("g",),
}
STATES = {cell: ("h", "c") if "o" in gates else ("h",) for cell, gates in GATES.items()}


@dataclass(frozen=True)
class Workload:
    """One piece of work; `at` is where the loss L = v·y stands: the last step, or all of them."""

    name: str
    title: str
    cell: str
    sequences: int
    inputs: int
    hidden: int
    lengths: tuple[int, ...]
    nets: int = 1
    layers: int = 1
    bidirectional: bool = False
    at: str = "last"

    @property
    def steps(self) -> int:
        return max(self.lengths)

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1


_A: dict[str, Any] = {"sequences": 32, "inputs": 32, "hidden": 128, "lengths": (1000,)}

WORKLOADS = {
    w.name: w
    for w in (
        Workload("a", "LSTM, T = 1000, batch 32, hidden 128", "lstm", **_A),
        Workload(
            "b",
            "the same at lengths 100, 200 … 1000",
            "lstm",
            **_A | {"lengths": tuple(range(100, 1001, 100))},
        ),
        Workload("c", "20 seeds, T = 1000, batch 16, hidden 32", "lstm", 16, 8, 32, (1000,), 20),
        Workload("d", "50 seeds, T = 500, batch 1, hidden 16", "lstm", 1, 2, 16, (500,), 50),
        Workload("e-rnn", "(a) with an RNN", "rnn", **_A),
        Workload("e-cec", "(a) with a CEC", "cec", **_A),
        Workload("e-gru", "(a) with a GRU", "gru", **_A),
        Workload("e-peephole", "(a) with peepholes", "peephole", **_A),
        Workload("e-coupled", "(a) with coupled gates", "coupled", **_A),
        Workload("e-layers", "(a) with 2 layers", "lstm", **_A, layers=2),
        Workload("e-both", "(a) in both directions", "lstm", **_A, bidirectional=True, at="all"),
    )
}


@dataclass(frozen=True)
class Problem:
    """A workload's arrays; `weights[layer][direction]` maps U, W, b, P, b_rec to (nets, …)."""

    work: Workload
    dtype: np.dtype[Any]
    weights: tuple[tuple[Mapping[str, np.ndarray], ...], ...] = field(repr=False)
    x: np.ndarray = field(repr=False)
    probe: np.ndarray = field(repr=False)


def problem(work: Workload, dtype: str) -> Problem:
    """Draw the arrays of `work` from a fixed seed, in float64, and cast them."""
    rng = np.random.default_rng(20240)
    kind = np.dtype(dtype)
    weights = tuple(
        tuple(
            {
                name: value.astype(kind)
                for name, value in _draw(rng, work, work.inputs if layer == 0 else _width(work))
            }
            for _ in range(work.directions)
        )
        for layer in range(work.layers)
    )
    x = rng.standard_normal((work.steps, work.inputs, work.sequences))
    probe = rng.standard_normal((work.nets, _width(work), work.sequences))
    probe /= np.sqrt(np.sum(probe**2, axis=1, keepdims=True))
    return Problem(work, kind, weights, x.astype(kind), probe.astype(kind))


def _width(work: Workload) -> int:
    return work.hidden * work.directions


def _draw(rng: np.random.Generator, work: Workload, inputs: int) -> list[tuple[str, np.ndarray]]:
    """gradflow's defaults: orthogonal W, Glorot U, zero biases, forget bias 1."""
    gates, n, h = GATES[work.cell], work.nets, work.hidden
    reach = np.sqrt(6 / (h + inputs))
    drawn = [("U", rng.uniform(-reach, reach, (n, len(gates) * h, inputs)))]
    if work.cell == "cec":
        return drawn
    blocks = np.linalg.qr(rng.standard_normal((n, len(gates), h, h)))[0]
    bias = np.zeros((n, len(gates), h, 1))
    if "f" in gates:
        bias[:, gates.index("f")] = 1.0
    drawn += [("W", blocks.reshape(n, -1, h)), ("b", bias.reshape(n, -1, 1))]
    if work.cell == "peephole":
        drawn.append(("P", rng.uniform(-1, 1, (n, 3 * h, 1)) / np.sqrt(h)))
    if work.cell == "gru":
        drawn.append(("b_rec", rng.uniform(-1, 1, (n, h, 1)) / np.sqrt(h)))
    return drawn


def to_torch(cell: str, weights: Mapping[str, np.ndarray], net: int) -> dict[str, np.ndarray]:
    """One net's weights under PyTorch's names, in PyTorch's order of gates.

    The LSTM's order is i, f, g, o. The GRU's is r, z, n with h = (1−z)⊙n + z⊙h, so z turns to 1−z
    by a change of sign, and the recurrent bias of the candidate stands apart.
    """
    order = {"lstm": "ifgo", "gru": "rzg", "rnn": "g"}[cell]
    gates = GATES[cell]

    def rows(value: np.ndarray) -> np.ndarray:
        blocks = value[net].reshape(len(gates), -1, value.shape[-1])
        sign = {"z": -1} if cell == "gru" else {}
        return np.concatenate([sign.get(g, 1) * blocks[gates.index(g)] for g in order])

    bias = rows(weights["b"])[:, 0]
    recurrent = np.zeros_like(bias)
    if "b_rec" in weights:
        recurrent[-weights["b_rec"].shape[1] :] = weights["b_rec"][net, :, 0]
    return {
        "weight_ih": rows(weights["U"]),
        "weight_hh": rows(weights["W"]),
        "bias_ih": bias,
        "bias_hh": recurrent,
    }
