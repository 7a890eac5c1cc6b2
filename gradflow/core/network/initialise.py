"""How weights are drawn: each gate's block from a random stream of its own.

Adding gates, layers, directions or options to a net never changes the other weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradflow.core.cells.base import Cell
from gradflow.core.cells.terms import MemoryGate, Parameter
from gradflow.core.network.frameworks import FRAMEWORKS, orthogonal
from gradflow.core.random import stream
from gradflow.core.typing import Array

__all__ = ["SCHEMES", "Chrono", "Init", "draw_parameters"]

Scheme: TypeAlias = Callable[[np.random.Generator, int, int], Array]
Purpose: TypeAlias = tuple[int, int, str]
"""What is drawn for: seed, layer and direction."""


@dataclass(frozen=True)
class Chrono:
    """Biases for memories that last up to `t_max` steps (Tallec & Ollivier 2018).

    With τ ~ U(1, t_max − 1) for each unit, a gate that keeps the state when open has the bias ln τ
    (an LSTM's f), one that lets go −ln τ (a GRU's z), and so has the gate that writes beside it (an
    LSTM's i); see `Cell.memory_gates`. An input gate without a forget gate keeps a bias of 0.

    Parameters
    ----------
    t_max : int
        The longest memory in steps, at least 2.
    """

    t_max: int

    def __post_init__(self) -> None:
        if self.t_max < 2:
            raise ValueError(f"chrono needs t_max of at least 2, not {self.t_max}")


@dataclass(frozen=True)
class Init:
    """How each role of parameter is drawn.

    With g the gain and for each gate's block of ``rows × cols`` (rows = H units):

    =============  =========================================================================
    ``normal``     N(0, g² / cols): cols is the fan-in, H for recurrent weights
    ``uniform``    U(−g/√H, g/√H)
    ``interval``   U(−g, g)
    ``glorot``     U(−a, a) with a = g √(6 / (rows + cols)) (Glorot & Bengio 2010)
    ``orthogonal`` g Q with orthonormal columns, or rows where cols > rows (Saxe et al. 2014)
    ``identity``   g I
    =============  =========================================================================

    A diagonal peephole has one weight for each unit: ``normal`` is N(0, g²/H) there and
    ``identity`` is g everywhere; ``glorot`` and ``orthogonal`` mean nothing.

    Parameters
    ----------
    recurrent, input, peephole : str
        Scheme for W, U and the peepholes.
    recurrent_gain, input_gain, peephole_gain : float
        Factor g on them.
    forget_bias : float, Chrono or None
        Bias of the gates that keep the state when open, an LSTM's f; cells without one ignore a
        number. None leaves 0.
    bias : mapping of str to float, or to a sequence of them
        Biases by gate, over all else: one for all units, or one for each unit (or block of cells).
        Gates that a cell does not have are ignored, so that one `Init` serves a sweep over cells;
        all other biases are 0.
    like : {"pytorch", "keras"} or None
        Draw what this framework draws for the same layer, in place of all else.
    """

    recurrent: str = "orthogonal"
    recurrent_gain: float = 1.0
    input: str = "glorot"
    input_gain: float = 1.0
    peephole: str = "uniform"
    peephole_gain: float = 1.0
    forget_bias: float | Chrono | None = 1.0
    bias: Mapping[str, float | Sequence[float]] = field(default_factory=dict)
    like: str | None = None

    def __post_init__(self) -> None:
        for role in ("recurrent", "input", "peephole"):
            scheme = getattr(self, role)
            if scheme not in SCHEMES:
                known = ", ".join(SCHEMES)
                raise ValueError(f"init.{role}: no scheme {scheme!r}; there are {known}")
        if self.like not in (None, *FRAMEWORKS):
            raise ValueError(f"init.like: {self.like!r}; there are {', '.join(FRAMEWORKS)}")


def _normal(rng: np.random.Generator, rows: int, cols: int) -> Array:
    return rng.standard_normal((rows, cols)) / math.sqrt(cols)


def _uniform(rng: np.random.Generator, rows: int, cols: int) -> Array:
    return rng.uniform(-1, 1, (rows, cols)) / math.sqrt(rows)


def _interval(rng: np.random.Generator, rows: int, cols: int) -> Array:
    return rng.uniform(-1, 1, (rows, cols))


def _glorot(rng: np.random.Generator, rows: int, cols: int) -> Array:
    return rng.uniform(-1, 1, (rows, cols)) * math.sqrt(6 / (rows + cols))


def _identity(rng: np.random.Generator, rows: int, cols: int) -> Array:
    return np.eye(rows, cols)


SCHEMES: dict[str, Scheme] = {
    "normal": _normal,
    "uniform": _uniform,
    "interval": _interval,
    "glorot": _glorot,
    "orthogonal": orthogonal,
    "identity": _identity,
}
"""The schemes by name: ``(generator, rows, cols) -> block`` with a gain of 1."""

DIAGONAL: dict[str, Scheme] = {
    "normal": lambda rng, rows, cols: rng.standard_normal((rows, cols)) / math.sqrt(rows),
    "uniform": _uniform,
    "interval": _interval,
    "identity": lambda rng, rows, cols: np.ones((rows, cols)),
}
"""What the schemes mean for a diagonal that is kept as a column."""


def draw_parameters(
    cell: Cell,
    inputs: int,
    init: Init,
    seed: int,
    layer: int,
    direction: str,
    dtype: npt.DTypeLike = np.float64,
) -> dict[str, Array]:
    """Draw one net's parameters of one layer and direction.

    Parameters
    ----------
    cell : Cell
        The layer's cell.
    inputs : int
        Features that the layer reads.
    init : Init
        How to draw them.
    seed, layer, direction : int, int, str
        Which net, and where in it.
    dtype : dtype
        Drawn in float64, then cast.

    Returns
    -------
    dict of str to array
        Each ``(rows, cols)`` of the whole parameter, one block of rows for each gate.

    Raises
    ------
    ValueError
        If a scheme has no meaning for a diagonal peephole, or a framework has no peepholes.
    """
    purpose = (seed, layer, direction)
    if init.like is not None:
        return _alike(cell, inputs, init.like, purpose, dtype)
    drawn = {}
    for name, parameter in cell.parameters(inputs).items():
        if parameter.role == "bias":
            whole = _bias(name, parameter, init, purpose, cell.memory_gates)
        else:
            whole = _weight(name, parameter, init, purpose)
        drawn[name] = whole.astype(dtype)
    return drawn


def _alike(
    cell: Cell, inputs: int, like: str, purpose: Purpose, dtype: npt.DTypeLike
) -> dict[str, Array]:
    """All parameters by the law of a framework."""
    if any(parameter.role == "peephole" for parameter in cell.parameters(inputs).values()):
        raise ValueError(f"init.like: {like} has no layer with peepholes")
    seed, layer, direction = purpose

    def streams(*words: str) -> np.random.Generator:
        return stream(seed, "weights", like, layer, direction, *words)

    drawn = FRAMEWORKS[like](cell, inputs, streams)
    return {name: whole.astype(dtype) for name, whole in drawn.items()}


def _weight(name: str, parameter: Parameter, init: Init, purpose: Purpose) -> Array:
    scheme: str = getattr(init, parameter.role)
    gain: float = getattr(init, f"{parameter.role}_gain")
    make = SCHEMES[scheme]
    if parameter.role == "peephole" and parameter.cols == 1 < parameter.rows:
        if scheme not in DIAGONAL:
            raise ValueError(
                f"init.peephole: {scheme} has no meaning for a diagonal peephole; "
                f"use one of {', '.join(DIAGONAL)}"
            )
        make = DIAGONAL[scheme]
    seed, layer, direction = purpose
    blocks = []
    for gate in parameter.blocks:
        rng = stream(seed, "weights", layer, direction, name, gate)
        blocks.append(gain * make(rng, parameter.rows, parameter.cols))
    return np.concatenate(blocks)


def _bias(
    name: str,
    parameter: Parameter,
    init: Init,
    purpose: Purpose,
    memory: Sequence[MemoryGate],
) -> Array:
    """Blocks of constants, but for chrono's; a bias inside the recurrent product stays 0."""
    values: dict[str, Any] = dict.fromkeys(parameter.blocks, 0.0)
    if name == "b":
        values |= _memory(parameter.rows, init.forget_bias, purpose, memory) | dict(init.bias)
    blocks = []
    for gate in parameter.blocks:
        own = np.reshape(values[gate], (-1, 1))
        if len(own) not in (1, parameter.rows):
            raise ValueError(f"init.bias.{gate}: {len(own)} biases for {parameter.rows} units")
        blocks.append(np.broadcast_to(own, (parameter.rows, 1)))
    return np.concatenate(blocks)


def _memory(
    units: int,
    forget_bias: float | Chrono | None,
    purpose: Purpose,
    memory: Sequence[MemoryGate],
) -> dict[str, Any]:
    """Biases that set how long the state is kept, by gate."""
    if not isinstance(forget_bias, Chrono):
        keeping = [gate for gate, sign, _ in memory if sign > 0]
        return {} if forget_bias is None else dict.fromkeys(keeping, forget_bias)
    seed, layer, direction = purpose
    rng = stream(seed, "weights", layer, direction, "b", "chrono")
    span = np.log(rng.uniform(1, forget_bias.t_max - 1, (units, 1)))
    return {gate: sign * span for gate, sign, _ in memory} | {
        write: -span for _, _, write in memory if write is not None
    }
