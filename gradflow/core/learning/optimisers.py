"""What an update makes of a gradient: clipping, and the step of an optimiser.

All parameters of a net stand in one row: arrays are ``(nets, parameters)``, and every net has its
own update. The definitions are PyTorch's, so that trajectories agree with its optimisers'.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np

from gradflow.core.typing import Array

__all__ = ["OPTIMISERS", "SGD", "Adam", "Clip", "Memory", "Momentum", "Optimiser", "RMSprop"]

Memory: TypeAlias = dict[str, Array]
"""What an optimiser keeps from update to update, each ``(nets, parameters)``."""


@dataclass(frozen=True)
class Clip:
    """Bounds on what an update may follow.

    Parameters
    ----------
    norm : float or None
        A gradient whose norm, over all parameters of a net, is larger is shortened to it
        (Pascanu et al. 2013).
    value : float or None
        No component is larger in magnitude.
    adjoint : float or None
        On the way back, ‖∂L/∂h_k‖ of each sequence is shortened to it at every step, the loss at k
        included, before it passes through step k.
    """

    norm: float | None = None
    value: float | None = None
    adjoint: float | None = None

    def __post_init__(self) -> None:
        for name in ("norm", "value", "adjoint"):
            bound = getattr(self, name)
            if bound is not None and not bound > 0:
                raise ValueError(f"clip.{name} is {bound}; a bound is above 0")

    @property
    def shorten(self) -> Callable[[Array], Array] | None:
        """What `pull_plain` does to each ∂L/∂h_k."""
        bound = self.adjoint
        if bound is None:
            return None

        def shortened(dh: Array) -> Array:
            norms = np.sqrt((dh * dh).sum(axis=-2, keepdims=True))
            short: Array = dh * (bound / np.maximum(norms, bound))
            return short

        return shortened

    def __call__(self, gradient: Array) -> Array:
        """Clip gradients ``(nets, parameters)`` in norm, then in value, as far as asked for."""
        if self.norm is not None:
            norms = np.sqrt(np.einsum("np,np->n", gradient, gradient))[:, None]
            # 1e-6 as in torch.nn.utils.clip_grad_norm_
            gradient = gradient * np.minimum(self.norm / (norms + 1e-6), 1.0)
        if self.value is not None:
            gradient = np.clip(gradient, -self.value, self.value)
        return gradient


@dataclass(frozen=True)
class Optimiser(ABC):
    """A rule that makes an update of a gradient: θ ← θ + Δ.

    Parameters
    ----------
    rate : float or mapping of str to float
        Learning rate α, one for all or one for each kind of parameter (U, W, b, P, V).
    halving : float or None
        Updates in which α falls to its half, by the same factor at each: 2^(−1/halving). None: it
        stays.
    """

    rate: float | Mapping[str, float] = 0.01
    halving: float | None = None

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        rates = self.rate.values() if isinstance(self.rate, Mapping) else (self.rate,)
        for rate in rates:
            if not rate >= 0:
                raise ValueError(f"rate is {rate}; it is at least 0")
        if self.halving is not None and not self.halving > 0:
            raise ValueError(f"halving is {self.halving}; it is above 0")
        self.check()

    def at(self, rate: Array, count: int) -> Array:
        """The rates of the update `count`, from 1, if the first has these."""
        if self.halving is None:
            return rate
        fallen: Array = rate * 2 ** (-(count - 1) / self.halving)
        return fallen

    def check(self) -> None:  # noqa: B027  # plain descent has nothing that can be wrong
        """Raise ValueError where an option makes no sense."""

    def memory(self, shape: tuple[int, ...]) -> Memory:
        """What is kept, before the first update."""
        return {}

    @abstractmethod
    def delta(self, gradient: Array, memory: Memory, rate: Array, count: int) -> Array:
        """Return Δ, and bring `memory` up to date.

        Parameters
        ----------
        gradient : array
            ∂L/∂θ, ``(nets, parameters)``.
        memory : Memory
            What is kept; its arrays are changed in place.
        rate : array
            α of each parameter.
        count : int
            Which update this is, from 1.
        """


@dataclass(frozen=True)
class SGD(Optimiser):
    """Δ = −α g.

    Parameters
    ----------
    rate
        α.
    """

    kind: ClassVar[str] = "sgd"

    def delta(self, gradient: Array, memory: Memory, rate: Array, count: int) -> Array:
        """−α g."""
        return -rate * gradient


@dataclass(frozen=True)
class Momentum(Optimiser):
    """v ← μ v + g, Δ = −α v; Nesterov: Δ = −α (g + μ v).

    Parameters
    ----------
    rate
        α.
    momentum : float
        μ.
    nesterov : bool
        Whether the gradient is taken into account once more.
    """

    momentum: float = 0.9
    nesterov: bool = False

    kind: ClassVar[str] = "momentum"

    def check(self) -> None:
        """Raise ValueError for a momentum outside [0, 1)."""
        _within("momentum", self.momentum)

    def memory(self, shape: tuple[int, ...]) -> Memory:
        """v = 0."""
        return {"v": np.zeros(shape)}

    def delta(self, gradient: Array, memory: Memory, rate: Array, count: int) -> Array:
        """−α v, or −α (g + μ v)."""
        v = memory["v"]
        v *= self.momentum
        v += gradient
        delta: Array = -rate * (gradient + self.momentum * v if self.nesterov else v)
        return delta


@dataclass(frozen=True)
class RMSprop(Optimiser):
    """s ← ρ s + (1 − ρ) g², Δ = −α g / (√s + ε).

    Parameters
    ----------
    rate
        α.
    decay : float
        ρ, PyTorch's ``alpha``.
    epsilon : float
        ε.

    References
    ----------
    T. Tieleman and G. Hinton, lecture 6.5, Coursera 2012.
    """

    decay: float = 0.99
    epsilon: float = 1e-8

    kind: ClassVar[str] = "rmsprop"

    def check(self) -> None:
        """Raise ValueError for a decay outside [0, 1)."""
        _within("decay", self.decay)

    def memory(self, shape: tuple[int, ...]) -> Memory:
        """s = 0."""
        return {"s": np.zeros(shape)}

    def delta(self, gradient: Array, memory: Memory, rate: Array, count: int) -> Array:
        """−α g / (√s + ε)."""
        s = memory["s"]
        s *= self.decay
        s += (1 - self.decay) * gradient * gradient
        return -rate * (gradient / (np.sqrt(s) + self.epsilon))


@dataclass(frozen=True)
class Adam(Optimiser):
    """m ← β₁ m + (1 − β₁) g, s ← β₂ s + (1 − β₂) g², Δ = −α m̂ / (√ŝ + ε).

    m̂ = m / (1 − β₁ⁿ) and ŝ = s / (1 − β₂ⁿ) at the n-th update.

    Parameters
    ----------
    rate
        α.
    beta1, beta2 : float
        β₁ and β₂.
    epsilon : float
        ε.

    References
    ----------
    D. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    kind: ClassVar[str] = "adam"

    def check(self) -> None:
        """Raise ValueError for a β outside [0, 1)."""
        _within("beta1", self.beta1)
        _within("beta2", self.beta2)

    def memory(self, shape: tuple[int, ...]) -> Memory:
        """m = s = 0."""
        return {"m": np.zeros(shape), "s": np.zeros(shape)}

    def delta(self, gradient: Array, memory: Memory, rate: Array, count: int) -> Array:
        """−α m̂ / (√ŝ + ε)."""
        m, s = memory["m"], memory["s"]
        m += (1 - self.beta1) * (gradient - m)
        s *= self.beta2
        s += (1 - self.beta2) * gradient * gradient
        size = np.sqrt(s) / np.sqrt(1 - self.beta2**count)
        delta: Array = -(rate / (1 - self.beta1**count)) * (m / (size + self.epsilon))
        return delta


OPTIMISERS: dict[str, type[Optimiser]] = {
    rule.kind: rule for rule in (SGD, Momentum, RMSprop, Adam)
}
"""The optimisers by kind."""


def _within(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} is {value}; it lies in [0, 1)")
