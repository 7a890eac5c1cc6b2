"""What a cell is: one step of a recurrence, and how a cotangent goes back through it.

A cell knows one step on arrays ``(nets, features, columns)`` and nothing of time, of stacks or of
directions. Further axes may stand in front (the steps of a block, the lengths whose adjoints go
back together): NumPy broadcasts over them, and `pull` is the one product that must know. `step`
gives the next state and a cache; `linearise` turns the cache into the local derivatives;
`step_vjp` takes the cotangent of the state back through them. The input enters through the *drive*
``u_t = U x_t + b``, which needs no state: it is made for several steps in one product, or joins the
state's own product (`Cell.side_by_side`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from gradflow.core.cells.arrays import blocks, like, product, pull
from gradflow.core.cells.terms import Carrousel, MemoryGate, Parameter, State, Summand
from gradflow.core.typing import Array, Params

__all__ = ["Cell", "carrousel_of", "gates_of"]


@dataclass(frozen=True)
class Cell(ABC):
    """One step of a recurrence. Subclasses are final: options are fields, not further subclasses.

    Parameters
    ----------
    hidden : int
        Number of units H.
    """

    hidden: int

    kind: ClassVar[str]
    parts: ClassVar[tuple[str, ...]] = ("h",)

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ValueError(f"hidden must be at least 1, not {self.hidden}")
        self.check()

    def check(self) -> None:  # noqa: B027  # most cells have no options that can clash
        """Raise ValueError where options make no sense together."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Features of each part of the state, in the order of `parts`; here, H each."""
        return (self.hidden,) * len(self.parts)

    @property
    def label(self) -> str:
        """Kind and every option that is not at its default, e.g. ``lstm(peephole=diagonal)``."""
        options = [
            _spell(field.name, value)
            for field in fields(self)
            if field.name != "hidden"
            and (value := getattr(self, field.name)) != field.default
            and field.default is not MISSING
        ]
        return f"{self.kind}({', '.join(options)})" if options else self.kind

    @property
    @abstractmethod
    def gates(self) -> tuple[str, ...]:
        """Names of the pre-activation's row blocks, top to bottom; ``g`` is the candidate."""

    @property
    def memory_gates(self) -> tuple[MemoryGate, ...]:
        """The gates that set how long the state is kept: here, none."""
        return ()

    @abstractmethod
    def parameters(self, inputs: int) -> dict[str, Parameter]:
        """Shapes of all parameters for inputs of `inputs` features."""

    def drive(self, p: Params, x: Array) -> Array:
        """u = U x + b, for any number of steps at once: ``(..., nets, inputs, columns)``."""
        u = product(p["U"], x)
        if "b" in p:
            u += p["b"]
        return u

    def side_by_side(self, p: Params) -> Array | None:
        """[W U b], if `step` takes a `Drive`; None, as here: it asks for u itself."""
        return None

    def ready(self, p: Params, columns: int) -> Params:
        """Lay parameters out for many steps of so many columns; here, as they are."""
        return p

    def drive_vjp(self, p: Params, da: Array) -> Array:
        """dx = Uᵀ da."""
        return pull(p["U"], da)

    @abstractmethod
    def step(self, p: Params, state: State, u: Any) -> tuple[State, tuple[Array, ...]]:
        """Return the next state and the cache that `linearise` needs; mutates nothing.

        u is an array; where `side_by_side` gives a matrix it may be a `Drive`.
        """

    def linearise(self, p: Params, cache: tuple[Array, ...]) -> tuple[Array, ...]:
        """Turn caches into the local derivatives of `step_vjp`.

        Elementwise, so that it serves one step ``(nets, ·, columns)`` and a block of steps
        ``(steps, nets, ·, columns)`` alike. The default hands the cache on.
        """
        return cache

    def packed(self, local: tuple[Array, ...]) -> tuple[Array, ...]:
        """Lay the local derivatives of many small steps out for `step_vjp`; here, as they are.

        A call costs more than a small array's numbers do: fewer, larger arrays cost less.
        """
        return local

    @abstractmethod
    def step_vjp(
        self, p: Params, local: tuple[Array, ...], dstate: State
    ) -> tuple[State, Array, State]:
        """Take a cotangent back through one step.

        Parameters
        ----------
        p : Params
            The parameters.
        local : tuple of array
            What `linearise` made of the step's cache, or `packed` of that.
        dstate : tuple of array
            ∂L/∂ of the parts of the state s_t, as free inputs of all that follows.

        Returns
        -------
        dstate_prev : tuple of array
            ∂L/∂ of the parts of s_{t−1}.
        da : array
            ∂L/∂u_t, the cotangent of the drive, ``(nets, gates · hidden, columns)``; rows that
            follow are the cell's own, for what its `summands` need beside.
        totals : tuple of array
            For each part after ``h``, its total derivative: the paths to the other parts of the
            same step included (for an LSTM c_t → h_t).
        """

    def carrousel(self, local: tuple[Array, ...]) -> Carrousel | None:
        """Return the factors of the cell's carrousel at one step; None: it has none."""
        return None

    def through_gates(
        self, p: Params, local: tuple[Array, ...], da: Array
    ) -> tuple[State, Array | None]:
        """Take ∂L/∂a_t back to what the gates and the candidate have read.

        The default is right where every gate has the pre-activation U x_t + W h_{t−1} + b.

        Returns
        -------
        dstate_prev : tuple of array
            What reaches the parts of s_{t−1}.
        peek : array or None
            What reaches the last part of s_t itself, where a gate reads it.
        """
        dh = pull(p["W"], da) if "W" in p else np.zeros_like(like(da, self.hidden))
        return (dh, *(np.zeros_like(like(da, size)) for size in self.sizes[1:])), None

    def open_gates(self, cache: tuple[Array, ...]) -> dict[str, Array]:
        """Return the gates between 0 and 1 by name, ``(nets, hidden, columns)``: here, none."""
        return {}

    def summands(
        self, p: Params, cache: tuple[Array, ...], da: Array, before: State, after: State, x: Array
    ) -> dict[str, list[Summand]]:
        """Write each parameter's gradient at one step as products of rank one.

        The default is right where every gate has the pre-activation U x_t + W h_{t−1} + b. Like
        `linearise` it serves one step and a block of steps. There is a summand for each row block
        of each parameter, in their order.

        Parameters
        ----------
        p, cache, da
            As in `step` and `step_vjp`.
        before, after : tuple of array
            The states s_{t−1} and s_t.
        x : array
            The input x_t.

        Raises
        ------
        ValueError
            If it is left to the default, which knows nothing of some parameter.
        """
        others = sorted(p.keys() - {"U", "W", "b"})
        if others and type(self).summands is Cell.summands:
            raise ValueError(
                f"{self.label}: its gates do not read U x + W h + b alone, so it has to define "
                f"`summands`: the default knows nothing of {', '.join(others)}"
            )
        each = dict(zip(self.gates, blocks(da, len(self.gates)), strict=True))
        out = {"U": [Summand(gate, "outer", d, x) for gate, d in each.items()]}
        if "W" in p:
            out["W"] = [Summand(gate, "outer", d, before[0]) for gate, d in each.items()]
        if "b" in p:
            out["b"] = [Summand(gate, "bias", d, None) for gate, d in each.items()]
        return out


def _spell(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name}={'+'.join(map(str, value)) if isinstance(value, tuple) else value}"


def carrousel_of(cell: Cell, local: tuple[Array, ...] | None = None) -> Carrousel:
    """Return the carrousel of a cell at a step, or of a small copy of it at state 0.

    Raises
    ------
    ValueError
        If the cell has none.
    """
    if local is None:
        cell, cache, p = _step(cell)
        local = cell.linearise(p, cache)
    carrousel = cell.carrousel(local)
    if carrousel is None:
        raise ValueError(
            f"{cell.label} has no carrousel: no part of its state is passed on unit by unit, all "
            "of it goes through a matrix"
        )
    return carrousel


def gates_of(cell: Cell) -> tuple[str, ...]:
    """Return the names of the gates that a cell opens and closes.

    Raises
    ------
    ValueError
        If it has none.
    """
    small, cache, _ = _step(cell)
    gates = tuple(small.open_gates(cache))
    if not gates:
        raise ValueError(f"{cell.label} has no gates: nothing between 0 and 1 multiplies its state")
    return gates


def _step(cell: Cell) -> tuple[Cell, tuple[Array, ...], dict[str, Array]]:
    small = replace(cell, hidden=2)
    p = {name: np.zeros((1, *q.shape)) for name, q in small.parameters(1).items()}
    state = tuple(np.zeros((1, size, 1)) for size in small.sizes)
    _, cache = small.step(p, state, small.drive(p, np.zeros((1, 1, 1))))
    return small, cache, p
