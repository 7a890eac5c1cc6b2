"""A bundle of points measured: a pure function of their configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradflow.core.bptt import backpropagate
from gradflow.core.initialise import draw
from gradflow.core.inputs import Batch
from gradflow.core.losses import At, Loss
from gradflow.core.network import Network, Weights
from gradflow.core.quantity import Result
from gradflow.core.random import stream
from gradflow.core.record import Norms, recorded_steps
from gradflow.core.schedule import Footprint, Schedule, Work
from gradflow.core.typing import Array, DType
from gradflow.errors import UserError
from gradflow.experiment import sources, weights
from gradflow.experiment.config import PointConfig
from gradflow.experiment.plan import Bundle

__all__ = ["Setting", "footprint", "measure", "prepare"]


@dataclass(frozen=True)
class Setting:
    """What a bundle's configuration describes, as arrays."""

    net: Network
    weights: Weights
    x: Array
    loss: Loss


def measure(bundle: Bundle, *, input_noise: float = 0.0) -> list[Result]:
    """Measure the points of a bundle, which share everything but seed and length.

    Parameters
    ----------
    bundle : Bundle
        The points.
    input_noise : float
        Relative Gaussian noise on the inputs, to see how sensitive the result is.

    Returns
    -------
    list of Result
        One for each point, in the bundle's order.

    Raises
    ------
    NumericalError
        If a state or an adjoint becomes NaN or infinite.
    UserError
        If inputs or weights cannot be had as configured, or do not fit into the memory budget.
    """
    config = bundle.points[0].config
    seeds, lengths = bundle.seeds, bundle.lengths
    schedule, _ = footprint(bundle)
    setting = prepare(config, seeds, max(lengths), input_noise)
    record, columns = config.record, setting.x.shape[-1]
    norms = Norms(setting.net, lengths, len(seeds), columns, record.states, record.every)
    backpropagate(setting.net, setting.weights, setting.x, setting.loss, lengths, [norms], schedule)
    return [
        norms.quantities(seeds.index(point.config.seed), point.config.length, setting.loss)
        for point in bundle.points
    ]


def footprint(bundle: Bundle) -> tuple[Schedule, Footprint]:
    """Plan a bundle's memory: its schedule, and the bytes it will take.

    Raises
    ------
    UserError
        If even the smallest schedule exceeds the budget; says how many bytes are needed.
    """
    config = bundle.points[0].config
    sample = sources.load(config.inputs, min(bundle.lengths), config.inputs.seed).x
    net, columns = _network(config, sample.shape[2]), sample.shape[-1]
    recorded = sum(len(recorded_steps(n, config.record.every)) for n in bundle.lengths)
    work = Work(
        net=net,
        nets=len(bundle.seeds),
        columns=columns,
        lengths=tuple(bundle.lengths),
        records=recorded * len(config.record.states),
        dtype=np.dtype(config.dtype),
        sees_outputs=config.loss.kind in ("mse", "cross_entropy"),
    )
    schedule = work.schedule(config.memory)
    needed = work.footprint(schedule)
    if needed.peak > config.memory:
        raise UserError(
            f"{net.cell.label} at length {max(bundle.lengths):,} needs {needed.peak:,} bytes, the "
            f"memory budget is {config.memory:,}\n"
            "  expected: a point that fits, checkpoints in place of tapes included\n"
            "  fix: raise `memory`, or record fewer steps (`record.every`), sequences or seeds"
        )
    return schedule, needed


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
    net = _network(config, x.shape[2])
    readout = None
    if config.loss.kind != "sum":
        each = [_readout(net, config, batch, seed, x.shape[-1]) for seed in seeds]
        readout = np.stack(each).astype(dtype)
    at: At = config.loss.at
    loss = Loss(config.loss.kind, at, readout, batch.targets)
    return Setting(net, _weights(net, config, seeds, dtype), x.astype(dtype, copy=False), loss)


def _network(config: PointConfig, features: int) -> Network:
    model = config.model
    return Network(model.build_cell(), features, model.layers, model.bidirectional)


def _weights(net: Network, config: PointConfig, seeds: Sequence[int], dtype: DType) -> Weights:
    model = config.model
    if model.weights is not None:
        imported = weights.read(model.weights, kind=model.cell.kind, options=model.cell.options)
        return tuple(
            tuple(
                {name: np.repeat(a, len(seeds), axis=0).astype(dtype) for name, a in p.items()}
                for p in layer
            )
            for layer in imported.weights
        )
    init = config.init.build()

    def side_by_side(layer: int, direction: str) -> dict[str, Array]:
        shapes = net.parameters(layer)
        each = [draw(shapes, init, seed, layer, direction, dtype) for seed in seeds]
        return {name: np.stack([p[name] for p in each]) for name in shapes}

    return tuple(
        tuple(side_by_side(layer, direction) for direction in net.directions)
        for layer in range(net.layers)
    )


def _readout(net: Network, config: PointConfig, batch: Batch, seed: int, columns: int) -> Array:
    """v of the probe, a random unit vector per sequence, or V, N(0, 1/outputs)."""
    if config.loss.kind == "probe":
        rows = [stream(seed, "probe", j).standard_normal(net.outputs) for j in range(columns)]
        v = np.stack(rows, axis=-1)
        unit: Array = v / np.linalg.norm(v, axis=0)
        return unit
    shape = (batch.outputs, net.outputs)
    drawn: Array = stream(seed, "readout").standard_normal(shape) / np.sqrt(net.outputs)
    return drawn
