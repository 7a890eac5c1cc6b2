"""A published case in our conventions, and how far the engine is from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradflow.core.engine.forward import States, forward, outputs
from gradflow.core.engine.tape import Keep
from gradflow.core.network.stack import Network, Weights
from gradflow.core.typing import Array

__all__ = ["SINGLE", "Published"]

SINGLE = 1e-6
"""Relative error that numbers in single precision may have after a few steps."""


@dataclass(frozen=True)
class Published:
    """Outputs that a project states for a network given in full.

    Parameters
    ----------
    name : str
        The project and its test.
    net, weights : Network, Weights
        The network.
    x : array
        Inputs ``(steps, 1, inputs, sequences)``.
    states : States
        The initial state of each layer and direction.
    outputs : array
        The top layer's outputs ``(steps, 1, outputs, sequences)``; NaN where nothing is stated.
    c : array or None
        The final cell state ``(1, outputs, sequences)``, both directions one after the other.
    """

    name: str
    net: Network
    weights: Weights
    x: Array
    states: States
    outputs: Array
    c: Array | None = None

    def error(self) -> float:
        """Largest distance between an output (or c) and its published value, over its norm."""
        return max(_distance(got, want) for got, want in self._pairs())

    def _pairs(self) -> Iterator[tuple[Array, Array]]:
        """Computed and published arrays ``(1, features, sequences)``, one step after another."""
        steps = len(self.x)
        tapes, after = forward(
            self.net, self.weights, self.x, self.states, [(0, steps)], keep=Keep.STATES
        )
        yield from zip(outputs(tapes[-1]), self.outputs, strict=True)
        if self.c is not None:
            yield np.concatenate([state[1] for state in after[-1]], axis=1), self.c


def _distance(got: Array, want: Array) -> float:
    known = ~np.isnan(want)
    gap = np.linalg.norm(np.where(known, got - want, 0), axis=1)
    size = np.linalg.norm(np.where(known, want, 0), axis=1)
    return float(np.max(gap / np.where(size > 0, size, 1)))
