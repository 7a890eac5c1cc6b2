"""PyTorch's recurrent modules in this program's terms: their nets, sequences and states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from gradflow.core.cells import GRU, LSTM, RNN, Cell
from gradflow.core.network.stack import Layer, Network, States, Weights
from gradflow.core.typing import Array, DType, Params
from gradflow.experiment.models.found import PYTORCH, parameters

__all__ = [
    "CELLS",
    "SEQUENCES",
    "Module",
    "TorchTensor",
    "array",
    "net_of",
    "padded",
    "states_of",
    "weights_of",
]

Module: TypeAlias = Any
TorchTensor: TypeAlias = Any

SEQUENCES = (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU)
CELLS = (torch.nn.RNNCell, torch.nn.LSTMCell, torch.nn.GRUCell)


def net_of(module: Module) -> Network:
    """Return the net that a module is: the same cell in every layer and direction."""
    layers = getattr(module, "num_layers", 1)
    return Network(
        module.input_size, (Layer(_cell(module), getattr(module, "bidirectional", False)),) * layers
    )


def _cell(module: Module) -> Cell:
    hidden, bias = module.hidden_size, module.bias
    if isinstance(module, torch.nn.LSTM | torch.nn.LSTMCell):
        return LSTM(hidden, bias=bias, projection=getattr(module, "proj_size", 0))
    if isinstance(module, torch.nn.GRU | torch.nn.GRUCell):
        return GRU(hidden, reset="after", bias=bias)
    return RNN(hidden, activation=module.nonlinearity, bias=bias)


def weights_of(module: Module, net: Network, dtype: DType) -> Weights:
    """Copy the parameters of a module, as they are now."""
    each = iter(_parameters(module, net, dtype))
    return tuple(tuple(next(each) for _ in layer.directions) for layer in net.layers)


def _parameters(module: Module, net: Network, dtype: DType) -> Iterator[Params]:
    for index, direction in net.places():
        cell = net.layers[index].cell
        end = f"_l{index}" + "_reverse" * direction if isinstance(module, SEQUENCES) else ""

        def of(name: str, end: str = end) -> Array:
            return array(getattr(module, name + end), dtype)

        biases = [of("bias_ih"), of("bias_hh")] if module.bias else []
        others = {"R": of("weight_hr")} if getattr(module, "proj_size", 0) else {}
        U, W = of("weight_ih"), of("weight_hh")
        yield parameters(cell, PYTORCH[cell.kind], U, W, biases, **others)


def array(tensor: TorchTensor, dtype: DType, *order: int) -> Array:
    """Copy a tensor to NumPy, its axes in another order."""
    own = tensor.detach().permute(order) if order else tensor.detach()
    found = np.empty(tuple(own.shape), dtype)
    torch.from_numpy(found).copy_(own)  # to the CPU, into this order and this type at once
    return found


def padded(module: Module, sequence: TorchTensor, dtype: DType) -> tuple[Array, Array]:
    """Return a sequence that a module reads or gives, and where each of its columns ends.

    The array is ``(steps, 1, features, columns)``; of a Cell module it has one step.
    """
    if not isinstance(module, SEQUENCES):
        sequence = sequence.reshape(1, -1, sequence.shape[-1])
        return array(sequence, dtype, 0, 2, 1)[:, None], np.ones(sequence.shape[1], int)
    if isinstance(sequence, PackedSequence):
        whole, lengths = pad_packed_sequence(sequence)
        return array(whole, dtype, 0, 2, 1)[:, None], lengths.numpy()
    if sequence.dim() == 2:
        own = sequence.unsqueeze(1)
    else:
        own = sequence.transpose(0, 1) if module.batch_first else sequence
    return array(own, dtype, 0, 2, 1)[:, None], np.full(own.shape[1], len(own))


def states_of(
    net: Network, parts: tuple[TorchTensor | None, ...], columns: int, dtype: DType
) -> States | None:
    """Return the states that PyTorch keeps as ``(layers · directions, columns, features)``.

    A part that is None is 0; None if all are.
    """
    if all(part is None for part in parts):
        return None
    sizes = net.layers[0].cell.sizes
    places = len(list(net.places()))
    each = [
        np.zeros((places, size, columns), dtype)
        if part is None
        else array(part.reshape(places, columns, size), dtype, 0, 2, 1)
        for part, size in zip(parts, sizes, strict=True)
    ]
    found = iter(tuple(part[k][None] for part in each) for k in range(places))
    return tuple(tuple(next(found) for _ in layer.directions) for layer in net.layers)
