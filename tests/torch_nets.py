"""Drawn nets of PyTorch's, and the same recurrence cell by cell, where every state has a gradient.

PyTorch's fused modules hide the states between the steps. `unroll` writes the equations of its
documentation out, for sequences with lengths of their own; whoever uses it first holds its outputs
to the module's.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Tensor = Any
Array = np.ndarray[Any, Any]

F, H, CLASSES = 3, 5, 3

torch.set_num_threads(1)  # small tensors; a second thread waits by spinning, and takes a core


@dataclass(frozen=True)
class Drawn:
    """A module and its batch, and what the loss looks at.

    ``steps`` is T; ``lengths`` are the sequences' own; ``initial`` whether s_0 is given; ``packed``
    whether the sequences are packed, and in what order.
    """

    seed: int
    kind: str
    options: dict[str, Any]
    steps: int
    lengths: tuple[int, ...]
    packed: str
    initial: bool
    loss: str

    def module(self) -> Any:
        """The module in float64."""
        torch.manual_seed(self.seed)
        return getattr(torch.nn, self.kind)(F, H, **self.options).double()

    @property
    def parts(self) -> tuple[int, ...]:
        """The features of h and, of an LSTM, c."""
        h = self.options.get("proj_size", 0) or H
        return (h, H) if self.kind == "LSTM" else (h,)

    @property
    def rows(self) -> int:
        """Layers · directions."""
        return int(self.options["num_layers"]) * (1 + self.options["bidirectional"])

    def batch(self) -> tuple[Tensor, list[Tensor], Any]:
        """x (steps, sequences, features), s_0 by part (rows, sequences, features), and a head."""
        n = len(self.lengths)
        make = torch.randn if self.initial else torch.zeros
        wide: dict[str, Any] = {"dtype": torch.float64, "requires_grad": True}
        start = [make(self.rows, n, size, **wide) for size in self.parts]
        outputs = self.parts[0] * (1 + self.options["bidirectional"])
        head = torch.nn.Linear(outputs, CLASSES).double()
        return torch.randn(self.steps, n, F, **wide), start, head


def draw(seed: int) -> Drawn:
    """Any kind, 1 to 4 layers, one or both directions, …"""
    choose = random.Random(seed)
    kind = choose.choice(["RNN", "RNN", "LSTM", "LSTM", "LSTM", "GRU", "GRU"])
    options: dict[str, Any] = {
        "num_layers": choose.choice([1, 1, 2, 3, 4]),
        "bidirectional": choose.random() < 0.5,
        "bias": choose.random() < 0.8,
        "batch_first": choose.random() < 0.5,
    }
    if kind == "LSTM" and choose.random() < 0.5:
        options["proj_size"] = 2
    if kind == "RNN":
        options["nonlinearity"] = choose.choice(["tanh", "relu"])
    steps = choose.choice([1, 4, 7])
    packed = choose.choice(["no", "sorted", "unsorted"])
    own = [max(1, steps // 2), steps, max(1, steps - 2)]
    lengths = {"no": [steps] * 3, "unsorted": own, "sorted": sorted(own, reverse=True)}[packed]
    loss = choose.choice(["last", "all", "ends", "listed", "head", "cells", "lower"])
    return Drawn(
        seed, kind, options, steps, tuple(lengths), packed, choose.random() < 0.5, loss
    )  # fmt: skip


def step(kind: str, p: list[Tensor], x: Tensor, state: list[Tensor]) -> list[Tensor]:
    """PyTorch's equations as its documentation states them, on (sequences, features).

    `kind` is RNN, RNN-relu, LSTM or GRU; `p` are U, W, b, b_rec and R, as far as they exist.
    """
    U, W, b, b_rec, R = p
    own, past = x @ U.T, state[0] @ W.T
    if b is not None:
        own, past = own + b, past + b_rec
    if kind == "LSTM":
        i, f, g, o = (own + past).chunk(4, dim=1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return [h if R is None else h @ R.T, c]
    if kind == "GRU":
        (r, z, n), (r_h, z_h, n_h) = own.chunk(3, dim=1), past.chunk(3, dim=1)
        r, z = (r + r_h).sigmoid(), (z + z_h).sigmoid()
        return [(1 - z) * (n + r * n_h).tanh() + z * state[0]]
    return [(own + past).relu() if kind == "RNN-relu" else (own + past).tanh()]


def parameters(module: Any, end: str) -> list[Tensor]:
    """U, W, b, b_rec and R of one layer and direction; None where there is none."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    return [getattr(module, name + end, None) for name in names]


@dataclass(frozen=True)
class Unrolled:
    """What a module gives, and what it hides.

    ``outputs`` (steps, sequences, features), zero after a sequence's end; ``ends`` as h_n and c_n;
    ``states`` by layer and direction, at each step of the direction's own time, part by part.
    """

    outputs: Tensor
    ends: list[Tensor]
    states: dict[tuple[int, int], list[list[Tensor]]]


def unroll(module: Any, x: Tensor, start: list[Tensor], lengths: tuple[int, ...]) -> Unrolled:
    """Take sequences through a module cell by cell; a state stays as it is after the end."""
    kind = type(module).__name__ + "-relu" * (getattr(module, "nonlinearity", "") == "relu")
    ends, seen = [], {}
    ways = 1 + module.bidirectional
    own = torch.tensor(lengths)
    running = (torch.arange(len(x))[:, None] < own)[..., None]
    there_and_back = (own - 1 - torch.arange(len(x))[:, None]).clamp(min=0)
    for layer in range(module.num_layers):
        outputs = []
        for way in range(ways):
            p = parameters(module, f"_l{layer}" + "_reverse" * way)
            state = [part[layer * ways + way].clone() for part in start]
            states = [state]
            turned = x[there_and_back, torch.arange(len(own))] if way else x
            for k, seen_x in enumerate(turned):
                states.append(step(kind, p, seen_x, state))
                pairs = zip(states[-1], state, strict=True)
                state = [torch.where(running[k], after, before) for after, before in pairs]
            for part in itertools.chain(*states):
                part.retain_grad()
            seen[layer, way] = states
            ends.append(state)
            hs = torch.stack([state[0] for state in states[1:]])
            hs = hs[there_and_back, torch.arange(len(own))] if way else hs
            outputs.append(torch.where(running, hs, 0.0))
        x = torch.cat(outputs, dim=-1)
    return Unrolled(x, [torch.stack(parts) for parts in zip(*ends, strict=True)], seen)


def loss_of(
    what: str, out: Tensor, ends: list[Tensor], lengths: tuple[int, ...], head: Any
) -> Tensor:
    """L from the outputs and the ends of all layers."""
    last = torch.stack([out[n - 1, j] for j, n in enumerate(lengths)])
    if what == "last":
        return (last * head.weight[0]).sum()
    if what == "all":
        return out.pow(2).mean()
    if what == "listed":
        return (out[0] * head.weight[1]).sum() + 3 * out[len(out) // 2].pow(2).sum()
    if what == "head":
        targets = torch.arange(len(lengths)) % CLASSES
        return torch.nn.functional.cross_entropy(head(last), targets)
    if what == "ends":
        return ends[0][-2:].sin().sum()
    return ends[-1].pow(2).sum() if what == "cells" else (ends[0] * ends[0]).sum() + last.sum()


def log_norms(gradients: list[Tensor], like: Tensor) -> Array:
    """log10 norms (sequence, step); None is a gradient that autograd never met: zero."""
    each = [torch.linalg.norm(torch.zeros_like(like) if g is None else g, dim=1) for g in gradients]
    with np.errstate(divide="ignore"):
        return np.log10(torch.stack(each, dim=1).detach().numpy())
