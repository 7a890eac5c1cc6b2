"""All parameters of a net in one row, so that an update is a few operations on one array."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from gradflow.core.network.readout import Head
from gradflow.core.network.stack import Network, Weights
from gradflow.core.typing import Array, Params

__all__ = ["Layout", "ParameterPlace"]

ParameterPlace: TypeAlias = tuple[int, int, str]
"""Layer, direction and name of a parameter; the head's layer is −1."""


@dataclass(frozen=True)
class Layout:
    """Where each parameter of a net and its head stands in a row of all.

    Parameters
    ----------
    net, head : Network, Head
        What is laid out.
    """

    net: Network
    head: Head
    shapes: dict[ParameterPlace, tuple[int, int]] = field(init=False)
    spans: dict[ParameterPlace, slice] = field(init=False)
    kinds: dict[str, list[ParameterPlace]] = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        shapes: dict[ParameterPlace, tuple[int, int]] = {}
        for layer, direction in self.net.places():
            for name, parameter in self.net.parameters(layer).items():
                shapes[layer, direction, name] = parameter.shape
        for name, parameter in self.head.parameters(self.net.outputs, self.net.inputs).items():
            shapes[-1, 0, name] = parameter.shape
        ends = np.cumsum([math.prod(shape) for shape in shapes.values()]).tolist()
        spans = dict(zip(shapes, map(slice, [0, *ends[:-1]], ends), strict=True))
        kinds: dict[str, list[ParameterPlace]] = {}
        for place in shapes:
            kinds.setdefault(kind(place), []).append(place)
        for name, value in {"shapes": shapes, "spans": spans, "kinds": kinds}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "size", ends[-1])

    def view(self, theta: Array, place: ParameterPlace) -> Array:
        """One parameter of every net, in the memory of ``theta``: ``(nets, rows, cols)``."""
        return theta[:, self.spans[place]].reshape(len(theta), *self.shapes[place])

    def views(self, theta: Array) -> tuple[Weights, Params]:
        """The weights of the net and the head's parameters, in the memory of ``theta``."""
        weights = tuple(
            tuple(
                {name: self.view(theta, (index, way, name)) for name in self.net.parameters(index)}
                for way in range(len(layer.directions))
            )
            for index, layer in enumerate(self.net.layers)
        )
        head = {place[2]: self.view(theta, place) for place in self.shapes if place[0] == -1}
        return weights, head

    def row(self, weights: Weights, head: Params) -> Array:
        """Put the parameters of every net into its row, ``(nets, parameters)``."""
        given = [
            head[name] if layer == -1 else weights[layer][direction][name]
            for layer, direction, name in self.shapes
        ]
        return np.concatenate([a.reshape(len(a), -1) for a in given], axis=1)

    def rates(self, rate: float | Mapping[str, float]) -> Array:
        """The learning rate of each parameter, by kind; those of kinds that it has not are unread.

        Raises
        ------
        ValueError
            If a kind that the net has is not named.
        """
        if not isinstance(rate, Mapping):
            return np.array(rate)
        rates = np.empty(self.size)
        for name, places in self.kinds.items():
            if name not in rate:
                known = ", ".join(self.kinds)
                raise ValueError(f"rate.{name} is missing: the net's parameters are {known}")
            for place in places:
                rates[self.spans[place]] = rate[name]
        return rates


def kind(place: ParameterPlace) -> str:
    """Which kind a parameter is of: U, W, b, P, or V for all of the head's."""
    layer, _, name = place
    return "V" if layer == -1 else name[0]
