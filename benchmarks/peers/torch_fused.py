"""PyTorch's fused `nn.LSTM`, forward and backward: what training costs there.

It gives the gradient of the initial state and no gradient of any state on the way, so it answers
another question and its norms are not compared; it is here as a mark on the scale.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from benchmarks.workloads import Problem, to_torch


def prepare(problem: Problem) -> Callable[[], None]:
    torch.set_num_threads(1)
    work = problem.work
    x = torch.from_numpy(np.ascontiguousarray(problem.x.swapaxes(1, 2)))
    probe = torch.from_numpy(np.ascontiguousarray(problem.probe.swapaxes(1, 2)))
    modules = [_module(problem, net).requires_grad_(False) for net in range(work.nets)]

    shape = (work.layers * work.directions, work.sequences, work.hidden)

    def run() -> None:
        for module, v in zip(modules, probe, strict=True):
            start = tuple(torch.zeros(shape, dtype=x.dtype, requires_grad=True) for _ in range(2))
            y = module(x, start)[0]
            for length in work.lengths:
                loss = (y[length - 1] * v).sum() if work.at == "last" else (y * v).sum()
                torch.autograd.grad(loss, start, retain_graph=length != work.lengths[-1])

    return run


def _module(problem: Problem, net: int) -> nn.LSTM:
    work = problem.work
    module = nn.LSTM(
        work.inputs,
        work.hidden,
        num_layers=work.layers,
        bidirectional=work.bidirectional,
        dtype=torch.from_numpy(problem.x).dtype,
    )
    module.load_state_dict(
        {
            f"{name}_l{layer}{'_reverse' * direction}": torch.from_numpy(value)
            for layer, directions in enumerate(problem.weights)
            for direction, weights in enumerate(directions)
            for name, value in to_torch(work.cell, weights, net).items()
        }
    )
    return module
