"""What each network of an experiment costs: counted from its equations, timed on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradflow.core.cost.step import Cost, cost, critical_path, seconds
from gradflow.experiment.config import Experiment
from gradflow.experiment.measure.plan import plan
from gradflow.experiment.measure.setting import network

__all__ = ["Price", "prices"]


@dataclass(frozen=True)
class Price:
    """One network at its greatest length.

    Parameters
    ----------
    cell : str
        Its label.
    hidden, layers, sequences, length : int
        Sizes.
    parameters : int
        Of the whole network.
    counted : Cost
        A step of the bottom layer in one direction, all sequences together.
    forward, backward : float
        Measured seconds of such a step.
    path : tuple of int
        Operations that follow one another through the whole sequence, forward and backward.
    """

    cell: str
    hidden: int
    layers: int
    sequences: int
    length: int
    parameters: int
    counted: Cost
    forward: float
    backward: float
    path: tuple[int, int]


def prices(experiment: Experiment) -> list[Price]:
    """Count and time the distinct networks of an experiment."""
    longest: dict[Any, Any] = {}
    for point in plan(experiment):
        config = point.config
        key = (config.model, config.inputs.task.features, config.inputs.sequences, config.dtype)
        if key not in longest or config.length > longest[key].length:
            longest[key] = config
    found = []
    for config in longest.values():
        net = network(config, config.inputs.task.features)
        columns, kind = config.inputs.sequences or 1, np.dtype(config.dtype)
        cell = net.layers[0].cell
        forward, backward = seconds(cell, net.inputs, columns, dtype=kind)
        found.append(
            Price(
                cell=net.label,
                hidden=cell.hidden,
                layers=len(net.layers),
                sequences=columns,
                length=config.length,
                parameters=net.size,
                counted=cost(cell, net.inputs, columns, kind),
                forward=forward,
                backward=backward,
                path=critical_path(net, config.length),
            )
        )
    return found
