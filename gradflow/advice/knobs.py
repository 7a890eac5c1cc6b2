"""What can be turned on a cell so that it keeps more of the error, or less."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradflow.core.cells import MemoryGate
from gradflow.experiment.config import PointConfig
from gradflow.experiment.config.fields import Chrono

__all__ = ["Knob", "knobs"]

Name = Literal["recurrent gain", "forget bias", "update bias", "chrono T_max"]


@dataclass(frozen=True)
class Knob:
    """Something to turn.

    Parameters
    ----------
    name : str
        What it is.
    path : str
        The key of the experiment file.
    grid : tuple of float
        Values worth trying, from little memory to much.
    start : float
        Where the search begins: the configured value, or the best guess.
    configured : bool
        Whether `start` is what the configuration says.
    sign : {1, -1}
        Whether memory grows with the value, or falls.
    """

    name: Name
    path: str
    grid: tuple[float, ...]
    start: float
    configured: bool = True
    sign: Literal[1, -1] = 1

    @property
    def more(self) -> list[float]:
        """Values for more memory than at the start, the nearest first."""
        return [v for v in self.grid if self.sign * (v - self.start) > 0]

    @property
    def less(self) -> list[float]:
        """Values for less memory, the nearest first."""
        return [v for v in self.grid if self.sign * (v - self.start) < 0][::-1]

    def between(self, a: float, b: float) -> float:
        """Return the middle of an interval, to as many digits as are worth writing."""
        if self.name == "chrono T_max":
            return float(round(math.sqrt(a * b)))
        if self.name == "recurrent gain" and a > 0 < b:
            return _short(math.sqrt(a * b))
        return _short((a + b) / 2)

    def setting(self, value: float) -> str:
        """Write the change as an override: ``init.recurrent_gain=1.15``."""
        return f"{self.path}={value:g}"

    def turn(self, config: PointConfig, value: float) -> PointConfig:
        """Return the configuration with the knob at a value."""
        init = config.init
        if self.name == "recurrent gain":
            init = init.model_copy(update={"recurrent_gain": value})
        elif self.name == "chrono T_max":
            init = init.model_copy(update={"forget_bias": Chrono(chrono=round(value))})
        elif self.path == "init.forget_bias":
            init = init.model_copy(update={"forget_bias": value})
        else:
            gate = self.path.rpartition(".")[2]
            init = init.model_copy(update={"bias": {**init.bias, gate: value}})
        return config.model_copy(update={"init": init})


def knobs(config: PointConfig) -> list[Knob]:
    """Return what can be turned on the cell of a configuration."""
    cell, init = config.model.build_cell(), config.init
    parameters = cell.parameters(1)
    found = []
    if any(p.role == "recurrent" for p in parameters.values()):
        gains = tuple(_short(g) for g in np.geomspace(0.25, 32, 15))
        found.append(Knob("recurrent gain", "init.recurrent_gain", gains, init.recurrent_gain))
    biased = parameters["b"].blocks if "b" in parameters else ()
    memory = [gate for gate in cell.memory_gates if gate.gate in biased]
    found += {knob.path: knob for knob in (_bias(config, gate) for gate in memory)}.values()
    if {gate.gate for gate in memory} - set(init.bias):  # a bias by gate stands above chrono's
        found.append(_chrono(config))
    return found


def _bias(config: PointConfig, memory: MemoryGate) -> Knob:
    """Of a gate that keeps when open the forget bias, unless its own bias stands above that."""
    init, (gate, sign, _) = config.init, memory
    name: Name = "forget bias" if sign > 0 else "update bias"
    biases = tuple(float(sign * b) for b in range(-2, 11))
    if gate in init.bias:
        now = float(np.mean(init.bias[gate]))  # of units with biases of their own
        return Knob(name, f"init.bias.{gate}", biases, now, sign=sign)
    chrono = isinstance(init.forget_bias, Chrono)
    if sign < 0:
        return Knob(name, f"init.bias.{gate}", biases, 0.0, not chrono, sign)
    if isinstance(init.forget_bias, Chrono):
        return Knob(name, "init.forget_bias", biases, 1.0, configured=False)
    return Knob(name, "init.forget_bias", biases, init.forget_bias or 0.0)


def _chrono(config: PointConfig) -> Knob:
    """Begin with a longest memory of the sequence's length: (1 − 1/T)^T is about 1/e."""
    now, top = config.init.forget_bias, max(4.0, 100.0 * config.length)
    times = tuple(sorted({float(round(t)) for t in np.geomspace(3, min(top, 1e9), 9)}))
    path = "init.forget_bias.chrono"
    if isinstance(now, Chrono):
        return Knob("chrono T_max", path, times, float(now.chrono))
    return Knob("chrono T_max", path, times, max(3.0, float(config.length)), configured=False)


def _short(value: float) -> float:
    return float(f"{value:.3g}")
