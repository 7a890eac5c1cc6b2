"""Losses: one scalar per sequence, its value and the cotangents it sends into the net's outputs.

A loss of one's own is a subclass of `Loss`, registered with ``LOSSES.add`` or by the package that
defines it through an entry point in the group ``gradflow.losses``. Its fields are the options under
``loss``, but for those that are declared as `given`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self, TypeAlias

import numpy as np

from gradflow.core.network.readout import Readout
from gradflow.core.random import stream
from gradflow.core.registry import Registry, given
from gradflow.core.typing import Array, DType

__all__ = [
    "LOSSES",
    "At",
    "CrossEntropy",
    "Given",
    "Loss",
    "MeanSquaredError",
    "Probe",
    "Sum",
]

At: TypeAlias = Literal["last", "all", "ends"] | tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """L = Σ_t ℓ(o_t, target_t) over the steps `at`, with o_t = V y_t + b, or y_t without a readout.

    y_t is the top layer's output; of a bidirectional net [h→_t; h←_t]. Subclasses say what ℓ is and
    what its slope is; all else is common to them.

    Parameters
    ----------
    at : "last", "all", "ends" or tuple of int
        At which steps 1..T. ``ends`` is each direction's own last state, [h→_T; h←_1].
    of : str
        Which part of the state is looked at in place of h, at ``ends`` alone: ``c`` of an LSTM.
    readout : Readout or None
        V and b.
    targets : array or None
        Values ``(steps, nets or 1, m, columns)`` or classes ``(steps, nets or 1, columns)``.

    Raises
    ------
    ValueError
        If a part other than h is looked at elsewhere than at the ends, or targets are missing.
    """

    at: At = given("last")
    of: str = given("h")
    readout: Readout | None = given(None)
    targets: Array | None = given(None)

    kind: ClassVar[str]
    """Its name in an experiment file."""

    compares: ClassVar[Literal["nothing", "values", "classes", "cotangents"]] = "nothing"
    """What its targets are."""

    nothing: ClassVar[float] = 0
    """What stands among its targets where there is none."""

    linear: ClassVar[bool] = False
    """Whether the slope is the same whatever o is, so that no outputs need to be kept."""

    def __post_init__(self) -> None:
        if self.of != "h" and self.at != "ends":
            raise ValueError(f"a loss on {self.of} looks at the end of the state: at = 'ends'")
        if self.compares != "nothing" and self.targets is None:
            raise ValueError(f"the loss {self.kind} needs targets: {self.compares}")

    @classmethod
    def drawn(
        cls, width: int, columns: int, seeds: Sequence[int], dtype: DType
    ) -> dict[str, Array]:
        """Draw the fields that a loss has of its own, for each net by its seed; here, none.

        Parameters
        ----------
        width : int
            Features of o.
        columns : int
            How many sequences there are.
        seeds : sequence of int
            One for each net.
        dtype : dtype
            Drawn in float64, then cast.
        """
        return {}

    @abstractmethod
    def value(self, o: Array, target: Array | None) -> Array:
        """ℓ for each step, net and sequence, ``(steps, nets, columns)``.

        Parameters
        ----------
        o : array
            ``(steps, nets, m, columns)``.
        target : array or None
            The targets of these steps.
        """

    @abstractmethod
    def slope(self, o: Array, target: Array | None) -> Array:
        """∂ℓ/∂o, shaped as o; of a linear loss o is only a shape."""

    def steps(self, length: int) -> Array:
        """The loss steps of a sequence of `length` steps, ascending; it may end before any."""
        if self.at == "all":
            return np.arange(1, length + 1)
        listed = [length] if isinstance(self.at, str) else sorted(self.at)
        return np.array([step for step in listed if step <= length], int)

    def span(self, length: int) -> tuple[int, int]:
        """The first and the last of the loss steps; 0 and 0 where there is none.

        At ``ends`` both are the last step, where a forward direction ends (see `Timeline.ends`).
        """
        if self.at == "all":
            return 1, length
        steps = self.steps(length)
        return (int(steps[0]), int(steps[-1])) if len(steps) else (0, 0)

    def ends(self, lengths: Array) -> Array:
        """The first and the last step of each sequence at which a loss counts, ``(2, columns)``.

        0 where there is none. A step without a target does not count.
        """
        spans = np.array([self.span(int(n)) for n in lengths]).T
        there = self.there()
        if there is None or self.at in ("last", "ends"):
            return spans
        steps = np.arange(1, len(there) + 1)[:, None]
        there = there & (steps <= lengths)
        if isinstance(self.at, tuple):
            there = there & np.isin(steps, self.at)
        first, last = there.argmax(axis=0) + 1, len(there) - there[::-1].argmax(axis=0)
        return np.where(there.any(axis=0), [first, last], 0)

    def there(self) -> Array | None:
        """Which steps of which sequence have a target, ``(steps, columns)``; None: all."""
        return None

    def only(self, at: Array) -> Self:
        """Return the same loss at one step of each sequence."""
        if self.targets is None or (at == at[0]).all():
            return replace(self, at=(int(at[0]),))
        keep = np.arange(1, len(self.targets) + 1)[:, None] == at
        keep = keep.reshape(len(keep), *[1] * (self.targets.ndim - 2), -1)
        return replace(self, targets=np.where(keep, self.targets, self.nothing))

    def among(self, columns: slice) -> Self:
        """Return the same loss of some of the sequences."""
        own = None if self.targets is None else self.targets[..., columns]
        return replace(self, targets=own)

    def read(self, y: Array) -> Array:
        """o of outputs y."""
        return y if self.readout is None else self.readout(y)

    def target(self, steps: Array) -> Array | None:
        """The targets of some steps 1..T, (n,), or of steps of each sequence, (n, columns)."""
        if self.targets is None or steps.ndim == 1:
            return None if self.targets is None else self.targets[steps - 1]
        index = (steps - 1).reshape(len(steps), *(1,) * (self.targets.ndim - 2), -1)
        return np.take_along_axis(self.targets, index, axis=0)


@dataclass(frozen=True)
class Probe(Loss):
    """ℓ_t = v · o_t: with v a unit vector the curve starts at 1.

    Parameters
    ----------
    direction : array
        v, ``(nets, m, columns)``.
    """

    direction: Array = given()

    kind: ClassVar[str] = "probe"
    linear: ClassVar[bool] = True

    @classmethod
    def drawn(
        cls, width: int, columns: int, seeds: Sequence[int], dtype: DType
    ) -> dict[str, Array]:
        """A random unit vector for each sequence: it is the same however many others there are."""
        each = [
            np.stack([stream(seed, "probe", j).standard_normal(width) for j in range(columns)], -1)
            for seed in seeds
        ]
        v = np.stack([one / np.linalg.norm(one, axis=0) for one in each])
        return {"direction": v.astype(dtype)}

    def among(self, columns: slice) -> Self:
        """The same of some of the sequences, each with its own v."""
        return replace(super().among(columns), direction=self.direction[..., columns])

    def value(self, o: Array, target: Array | None) -> Array:
        """v · o."""
        found: Array = (self.direction * o).sum(axis=-2)
        return found

    def slope(self, o: Array, target: Array | None) -> Array:
        """v."""
        return np.broadcast_to(self.direction, o.shape)


@dataclass(frozen=True)
class Sum(Loss):
    """ℓ_t = Σ_j o_tj."""

    kind: ClassVar[str] = "sum"
    linear: ClassVar[bool] = True

    def value(self, o: Array, target: Array | None) -> Array:
        """The sum over features."""
        found: Array = o.sum(axis=-2)
        return found

    def slope(self, o: Array, target: Array | None) -> Array:
        """Ones."""
        return np.broadcast_to(np.ones((), o.dtype), o.shape)


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """ℓ_t = ‖o_t − target_t‖² / m; a target of NaN counts 0."""

    kind: ClassVar[str] = "mse"
    compares: ClassVar[Literal["values"]] = "values"
    nothing: ClassVar[float] = np.nan

    def there(self) -> Array:
        """Where a target is a number."""
        lacking = np.isnan(np.asarray(self.targets)).all(axis=(1, -2))
        return np.asarray(~lacking)

    def value(self, o: Array, target: Array | None) -> Array:
        """The mean over features of the squared error."""
        found: Array = (self._error(o, target) ** 2).sum(axis=-2) / o.shape[-2]
        return found

    def slope(self, o: Array, target: Array | None) -> Array:
        """(2/m) (o − target)."""
        slope: Array = 2 / o.shape[-2] * self._error(o, target)
        return slope

    def _error(self, o: Array, target: Array | None) -> Array:
        target = np.asarray(target)
        error: Array = np.where(np.isnan(target), 0, o - target)
        return error


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """ℓ_t = −log softmax(o_t)[target_t]; a target of −1 counts 0.

    Both value and slope keep their digits where the net is all but certain: they are made of what
    is left for the other classes, 1 − p = Σ_{k ≠ target} p_k, never of a difference from 1.
    """

    kind: ClassVar[str] = "cross_entropy"
    compares: ClassVar[Literal["classes"]] = "classes"
    nothing: ClassVar[float] = -1

    def there(self) -> Array:
        """Where a target is a class."""
        return np.asarray((np.asarray(self.targets) >= 0).any(axis=1))

    def value(self, o: Array, target: Array | None) -> Array:
        """log(1 + Σ_{k ≠ target} e^(o_k − o_target))."""
        hit, counts = self._hit(o, target)
        own = np.where(hit, o, 0).sum(axis=-2, keepdims=True)
        others = np.where(hit, -np.inf, o - own)
        top = others.max(axis=-2, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):  # one class has no others
            rest = top + np.log(np.exp(others - top).sum(axis=-2, keepdims=True))
        found: Array = np.logaddexp(0, np.where(np.isnan(rest), -np.inf, rest))[..., 0, :]
        return found * counts

    def slope(self, o: Array, target: Array | None) -> Array:
        """softmax(o), and −Σ of the others at the target."""
        hit, counts = self._hit(o, target)
        p = np.exp(o - o.max(axis=-2, keepdims=True))
        p /= p.sum(axis=-2, keepdims=True)
        others = np.where(hit, 0, p)
        slope: Array = np.where(hit, -others.sum(axis=-2, keepdims=True), p)
        return slope * counts[..., None, :]

    def _hit(self, o: Array, target: Array | None) -> tuple[Array, Array]:
        """Where the target's class stands, and which targets count."""
        target = np.asarray(target)
        return np.arange(o.shape[-2])[:, None] == target[..., None, :], target >= 0


@dataclass(frozen=True)
class Given(Loss):
    """ℓ_t = d_t · o_t: the cotangents d_t = ∂L/∂o_t are the targets, from a head of one's own."""

    kind: ClassVar[str] = "given"
    compares: ClassVar[Literal["cotangents"]] = "cotangents"
    linear: ClassVar[bool] = True

    def there(self) -> Array:
        """Where a cotangent is not zero."""
        return np.asarray((np.asarray(self.targets) != 0).any(axis=(1, -2)))

    def value(self, o: Array, target: Array | None) -> Array:
        """d · o, whose slope is d."""
        found: Array = (target * o).sum(axis=-2)
        return found

    def slope(self, o: Array, target: Array | None) -> Array:
        """The d that were handed in."""
        return np.broadcast_to(np.asarray(target, o.dtype), o.shape)


LOSSES: Registry[Loss] = Registry("gradflow.losses", "kind")
"""Every loss by its kind."""

for _loss in (Probe, Sum, MeanSquaredError, CrossEntropy, Given):
    LOSSES.add(_loss)
