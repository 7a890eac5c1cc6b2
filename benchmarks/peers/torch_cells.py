"""PyTorch: a loop over cells, `retain_grad` on every state, one backward pass for each length.

Weights are frozen, so that the backward pass computes gradients of states and of nothing else;
`trainable` leaves them as they come, which is what one gets without thinking of it. Several lengths
share one forward pass (`retain_graph`); several nets run one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.workloads import STATES, Problem, to_torch

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], State]
Norms = list[dict[str, np.ndarray]]

MODULES = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}


def prepare(problem: Problem, trainable: bool = False) -> Callable[[], Norms]:
    torch.set_num_threads(1)
    work = problem.work
    x = torch.from_numpy(np.ascontiguousarray(problem.x.swapaxes(1, 2)))
    probe = torch.from_numpy(np.ascontiguousarray(problem.probe.swapaxes(1, 2)))
    nets = [
        [[_cell(work.cell, w, net, trainable) for w in layer] for layer in problem.weights]
        for net in range(work.nets)
    ]
    zeros = torch.zeros(work.sequences, work.hidden, dtype=x.dtype)
    names = STATES[work.cell]

    def run() -> Norms:
        shape = (work.layers, work.directions, work.nets, work.sequences)
        norms = [{s: np.empty((*shape, t + 1)) for s in names} for t in work.lengths]
        for net, cells in enumerate(nets):
            record = _unroll(cells, x, zeros, len(names))
            for length, out in zip(work.lengths, norms, strict=True):
                _loss(record[-1], probe[net], length, work.at).backward(
                    retain_graph=length != work.lengths[-1]
                )
                for layer, directions in enumerate(record):
                    for direction, states in enumerate(directions):
                        for part, name in enumerate(names):
                            out[name][layer, direction, net] = _norms(states, part, length)
        return norms

    return run


def _unroll(
    cells: list[list[tuple[Callable[[Tensor], Tensor], Step]]], x: Tensor, zeros: Tensor, parts: int
) -> list[list[list[State]]]:
    """Every state, indexed [layer][direction][own step], each keeping its gradient."""
    record: list[list[list[State]]] = []
    for layer in cells:
        directions = []
        for direction, (drive, step) in enumerate(layer):
            state: State = tuple(zeros.clone().requires_grad_() for _ in range(parts))
            states = [state]
            for u in drive(x.flip(0) if direction else x).unbind():
                state = step(u, state)
                for part in state:
                    part.retain_grad()
                states.append(state)
            directions.append(states)
        record.append(directions)
        if layer is not cells[-1]:
            forward, *backward = (torch.stack([s[0] for s in d[1:]]) for d in directions)
            x = torch.cat([forward, *(b.flip(0) for b in backward)], dim=2)
    return record


def _loss(top: list[list[State]], probe: Tensor, length: int, at: str) -> Tensor:
    """L = v·y of every sequence, summed: each L depends on its own sequence alone."""
    if at == "last":
        return (top[0][length][0] * probe).sum()
    parts = zip(top, probe.chunk(len(top), dim=1), strict=True)
    return sum((torch.stack([s[0] for s in states[1:]]) * v).sum() for states, v in parts)


def _norms(states: list[State], part: int, length: int) -> np.ndarray:
    """log10 of each sequence's norm, (sequences, length + 1); the gradients are cleared."""
    kept = [state[part] for state in states[: length + 1]]
    grads = torch.stack([tensor.grad for tensor in kept])
    for tensor in kept:
        tensor.grad = None
    return torch.linalg.vector_norm(grads, dim=2).log10().T.numpy()


def _cell(
    cell: str, weights: Mapping[str, np.ndarray], net: int, trainable: bool
) -> tuple[Callable[[Tensor], Tensor], Step]:
    """What is done to all inputs at once, and the step that reads the result."""
    if cell in MODULES:
        module = _module(cell, weights, net).requires_grad_(trainable)
        if cell == "lstm":
            return lambda x: x, module
        return lambda x: x, lambda x, state: (module(x, state[0]),)
    p = {k: torch.from_numpy(w[net]).requires_grad_(trainable) for k, w in weights.items()}
    bias = p["b"][:, 0] if "b" in p else None
    return lambda x: F.linear(x, p["U"], bias), STEPS[cell](p)


def _cec(p: Mapping[str, Tensor]) -> Step:
    return lambda u, state: (state[0] + u,)


def _coupled(p: Mapping[str, Tensor]) -> Step:
    weight = p["W"]
    hidden = weight.shape[1]

    def step(u: Tensor, state: State) -> State:
        h, c = state
        gates, g = (u + F.linear(h, weight)).split((2 * hidden, hidden), dim=1)
        f, o = gates.sigmoid().chunk(2, dim=1)
        c = torch.lerp(g.tanh(), c, f)  # f⊙c + (1−f)⊙g
        return o * c.tanh(), c

    return step


def _peephole(p: Mapping[str, Tensor]) -> Step:
    weight = p["W"]
    hidden = weight.shape[1]
    early, late = p["P"][: 2 * hidden, 0].view(2, hidden), p["P"][2 * hidden :, 0]

    def step(u: Tensor, state: State) -> State:
        h, c = state
        a = u + F.linear(h, weight)
        fi = a[:, : 2 * hidden].unflatten(1, (2, hidden))
        f, i = torch.addcmul(fi, early, c.unsqueeze(1)).sigmoid().unbind(1)
        c = torch.addcmul(f * c, i, a[:, 3 * hidden :].tanh())
        o = torch.addcmul(a[:, 2 * hidden : 3 * hidden], late, c).sigmoid()
        return o * c.tanh(), c

    return step


def _lstm1997(p: Mapping[str, Tensor]) -> Step:
    weight = p["W"]
    hidden = weight.shape[1]

    def step(u: Tensor, state: State) -> State:
        h, c = state
        gates, g = (u + F.linear(h, weight)).split((2 * hidden, hidden), dim=1)
        i, o = gates.sigmoid().chunk(2, dim=1)
        c = torch.addcmul(c, i, g.tanh())
        return o * c.tanh(), c

    return step


STEPS = {"cec": _cec, "coupled": _coupled, "lstm1997": _lstm1997, "peephole": _peephole}


def _module(cell: str, weights: Mapping[str, np.ndarray], net: int) -> nn.Module:
    own = {k: torch.from_numpy(v) for k, v in to_torch(cell, weights, net).items()}
    hidden, inputs = own["weight_hh"].shape[1], own["weight_ih"].shape[1]
    module = MODULES[cell](inputs, hidden, dtype=own["weight_ih"].dtype)
    module.load_state_dict(own)
    return module
