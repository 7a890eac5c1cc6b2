"""From a checkpoint and an experiment file to PyTorch's own gradients, for nets of every kind.

Whatever is drawn goes through files: the weights as .pt, .safetensors or .npz, sequences with their
lengths, initial states, targets and cotangents; and through what a user writes.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradflow

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.extras

from tests.torch_nets import CLASSES, Drawn, draw, log_norms, unroll  # noqa: E402  # needs torch

DECADES = 1e-9
FORMATS = (".pt", ".safetensors", ".npz")


def save(state: dict[str, Any], path: Path) -> None:
    """Write a state dict as its users do."""
    if path.suffix == ".pt":
        torch.save(state, path)
    elif path.suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(state, path)
    else:
        np.savez(path, **{name: tensor.numpy() for name, tensor in state.items()})


LOSSES = ("last", "all", "ends", "listed", "given", "classes", "values", "headed")


def looks_at(drawn: Drawn) -> str:
    """Which of `LOSSES` is asked for; of an LSTM also its cells."""
    known = (*LOSSES, "cells") if drawn.kind == "LSTM" else LOSSES
    return random.Random(drawn.seed + 1000).choice(known)


class Asked:
    """A loss as the experiment file has it, and as PyTorch has it."""

    def __init__(self, drawn: Drawn, head: Any, folder: Path) -> None:
        self.drawn, self.head = drawn, head
        self.what = looks_at(drawn)
        self.listed = sorted({1, drawn.steps // 2 + 1, drawn.steps})
        rng, n, T = np.random.default_rng(drawn.seed), len(drawn.lengths), drawn.steps
        self.dy = rng.normal(size=(n, T, head.in_features))
        self.classes = rng.integers(-1, CLASSES, size=(n, T))
        self.classes[:, 0] = 0
        self.values = rng.normal(size=(n, T, CLASSES))
        for name in ("dy", "classes", "values"):
            np.save(folder / f"{name}.npy", getattr(self, name))

    def written(self) -> dict[str, Any]:
        """The section ``loss``."""
        return {
            "last": {"kind": "sum", "at": "last"},
            "all": {"kind": "sum", "at": "all"},
            "ends": {"kind": "sum", "at": "ends"},
            "cells": {"kind": "sum", "at": "ends", "of": "c"},
            "listed": {"kind": "sum", "at": self.listed},
            "given": {"kind": "given", "path": "dy.npy"},
            "headed": {"kind": "sum", "at": self.listed, "head": "fc"},
            "classes": {
                "kind": "cross_entropy", "at": "all", "head": "fc", "targets": "classes.npy",
            },
            "values": {
                "kind": "mse", "at": self.listed, "head": "fc", "targets": "values.npy",
            },
        }[self.what]  # fmt: skip

    def value(self, out: Any, ends: list[Any]) -> Any:
        """L, each sequence's own summed; outputs are (steps, sequences, features)."""
        own = torch.tensor(self.drawn.lengths)
        steps = torch.arange(1, len(out) + 1)[:, None]
        ways = 1 + self.drawn.options["bidirectional"]
        if self.what in ("ends", "cells"):
            return ends[-1 if self.what == "cells" else 0][-ways:].sum()
        if self.what == "given":
            return (out * torch.tensor(self.dy).transpose(0, 1)).sum()
        there = steps == own if self.what == "last" else steps <= own
        if self.what in ("listed", "headed", "values"):
            there = there & torch.isin(steps, torch.tensor(self.listed))
        if self.what in ("last", "all", "listed"):
            return out.sum(dim=-1)[there].sum()
        o = self.head(out)
        if self.what == "classes":
            targets = torch.tensor(self.classes.T)[there]
            return torch.nn.functional.cross_entropy(
                o[there], targets, ignore_index=-1, reduction="sum"
            )
        if self.what == "values":
            o = (o - torch.tensor(self.values).transpose(0, 1)).pow(2) / CLASSES
        return o.sum(dim=-1)[there].sum()


def experiment(drawn: Drawn, asked: Asked, weights: str) -> Any:
    """What a user writes to measure it."""
    model: dict[str, Any] = {"weights": weights}
    if drawn.options.get("nonlinearity") == "relu":
        model["cell"] = {"kind": "rnn", "activation": "relu"}
    if drawn.initial:
        model["state"] = "state.npz"
    return gradflow.configure(
        model=model,
        inputs={"kind": "file", "path": "x.npz"},
        loss=asked.written(),
        record={"states": ["h", "c", "x"]},
    )


@pytest.mark.parametrize("seed", range(72))
def test_norms_are_autograds(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    drawn = draw(seed)
    module, (x, start, head) = drawn.module(), drawn.batch()
    both = torch.nn.ModuleDict({"rnn": module, "fc": head})
    weights = f"net{FORMATS[seed % len(FORMATS)]}"
    save(both.state_dict(), tmp_path / weights)
    asked = Asked(drawn, head, tmp_path)
    np.savez("x.npz", x=x.detach().transpose(0, 1).numpy(), lengths=drawn.lengths)
    np.savez(
        "state.npz", **{f"{n}0": s.detach().numpy() for n, s in zip("hc", start, strict=False)}
    )

    hidden = unroll(module, x, start, drawn.lengths)
    agrees_with_the_module(drawn, module, x, start, hidden.outputs)
    asked.value(hidden.outputs, hidden.ends).backward()
    flow = gradflow.run(experiment(drawn, asked, weights))
    for part, name in enumerate("hc"[: len(drawn.parts)]):
        found = flow.get(name).values
        for (layer, way), states in hidden.states.items():
            each = [state[part] for state in states]
            compare(drawn, found[layer, way], log_norms([s.grad for s in each], each[0]))
    x_found = flow.get("x").values[0, 0]
    compare(drawn, x_found, log_norms(list(x.grad), x[0]), first=1)


def compare(drawn: Drawn, found: Any, wanted: Any, first: int = 0) -> None:
    """Every step of every sequence to its end."""
    for j, n in enumerate(drawn.lengths):
        a, b = found[j, : n + 1 - first], wanted[j, : n + 1 - first]
        np.testing.assert_array_equal(a == -np.inf, b == -np.inf)
        there = np.isfinite(b)
        np.testing.assert_array_equal(np.isfinite(a), there)
        assert np.abs(a[there] - b[there]).max(initial=0) <= DECADES


def agrees_with_the_module(
    drawn: Drawn, module: Any, x: Any, start: list[Any], outputs: Any
) -> None:
    """The equations written out give what the fused module gives, of packed sequences as well."""
    with torch.no_grad():
        seen = x.transpose(0, 1) if drawn.options["batch_first"] else x
        if drawn.packed != "no":
            seen = torch.nn.utils.rnn.pack_padded_sequence(
                seen, torch.tensor(drawn.lengths), drawn.options["batch_first"],
                enforce_sorted=drawn.packed == "sorted",
            )  # fmt: skip
        given = (start[0], start[1]) if drawn.kind == "LSTM" else start[0]
        found = module(seen, given)[0]
        if drawn.packed != "no":
            found, _ = torch.nn.utils.rnn.pad_packed_sequence(
                found, drawn.options["batch_first"], total_length=drawn.steps
            )
        found = found.transpose(0, 1) if drawn.options["batch_first"] else found
        assert (found - outputs).abs().max() <= 1e-12


def test_what_was_drawn_is_of_every_kind():
    """72 nets: every kind, depth, direction, projection, length, start and loss is among them."""
    nets = [draw(seed) for seed in range(72)]
    assert {net.kind for net in nets} == {"RNN", "LSTM", "GRU"}
    assert {net.options["num_layers"] for net in nets} == {1, 2, 3, 4}
    for key in ("bidirectional", "bias"):
        assert {net.options[key] for net in nets} == {True, False}
    assert {net.options.get("nonlinearity") for net in nets} == {None, "tanh", "relu"}
    assert {net.options.get("proj_size") for net in nets} == {None, 2}
    assert {net.packed for net in nets} == {"no", "sorted", "unsorted"}
    assert {net.initial for net in nets} == {True, False}
    assert {looks_at(net) for net in nets} == {*LOSSES, "cells"}
