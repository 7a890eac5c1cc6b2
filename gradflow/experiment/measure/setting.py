"""What a configuration describes, as arrays: the network, its weights, the inputs and the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradflow.core.cells.carrousel_only import CarrouselOnly
from gradflow.core.inputs import Batch
from gradflow.core.network.initialise import draw
from gradflow.core.network.losses import LOSSES, Loss
from gradflow.core.network.readout import Readout
from gradflow.core.network.stack import Network, Weights
from gradflow.core.random import stream
from gradflow.core.typing import Array, DType
from gradflow.experiment.config import PointConfig
from gradflow.experiment.data import sources
from gradflow.experiment.models import weights
from gradflow.experiment.recordings import Setting

__all__ = ["network", "prepare"]


def prepare(
    config: PointConfig, seeds: Sequence[int], length: int, input_noise: float = 0.0
) -> Setting:
    """Draw or read what a configuration describes: the nets of all seeds side by side.

    Parameters
    ----------
    config : PointConfig
        The configuration, its own seed and length left aside.
    seeds : sequence of int
        One net for each.
    length : int
        Steps of the inputs.
    input_noise : float
        Relative Gaussian noise on the inputs.
    """
    dtype = np.dtype(config.dtype)
    batch = sources.load(config.inputs, length, config.inputs.seed)
    x = batch.x
    if input_noise:
        noise = stream(config.inputs.seed, "input-noise").standard_normal(x.shape)
        x = x * (1 + input_noise * noise)
    net = network(config, x.shape[2])
    loss = _loss(net, config, batch, seeds, dtype)
    return Setting(net, _weights(net, config, seeds, dtype), x.astype(dtype, copy=False), loss)


def network(config: PointConfig, features: int) -> Network:
    """Make the network of a configuration for inputs of so many features."""
    net = config.model.build(features)
    return net.of_cells(CarrouselOnly.of) if config.method == "carrousel" else net


def _weights(net: Network, config: PointConfig, seeds: Sequence[int], dtype: DType) -> Weights:
    model = config.model
    if model.weights is not None:
        imported = weights.read(
            model.weights, kind=model.cell.kind, options=model.asked, names=model.names
        )
        return tuple(
            tuple(
                {name: np.repeat(a, len(seeds), axis=0).astype(dtype) for name, a in p.items()}
                for p in layer
            )
            for layer in imported.weights
        )
    init = config.init.build()

    def side_by_side(layer: int, direction: str) -> dict[str, Array]:
        cell, inputs = net.layers[layer].cell, net.features(layer)
        each = [draw(cell, inputs, init, seed, layer, direction, dtype) for seed in seeds]
        return {name: np.stack([p[name] for p in each]) for name in each[0]}

    return tuple(
        tuple(side_by_side(index, direction) for direction in layer.directions)
        for index, layer in enumerate(net.layers)
    )


def _loss(
    net: Network, config: PointConfig, batch: Batch, seeds: Sequence[int], dtype: DType
) -> Loss:
    """The loss with its targets, its readout, and what it draws for itself."""
    kind, width = LOSSES.get(config.loss.kind), net.width(config.loss.of)
    own: dict[str, Any] = dict(kind.drawn(width, batch.x.shape[-1], seeds, dtype))
    if kind.compares != "nothing":
        own["targets"] = batch.targets
        own["readout"] = Readout.draw(batch.outputs, width, seeds, dtype)
    return kind(at=config.loss.at, of=config.loss.of, **own)
