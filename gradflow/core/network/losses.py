"""Losses: one scalar per sequence, as the cotangents they send into the top layer's outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from gradflow.core.cells import pull
from gradflow.core.engine.tape import Keep
from gradflow.core.typing import Array

__all__ = ["At", "Kind", "Loss"]

Kind: TypeAlias = Literal["probe", "sum", "mse", "cross_entropy"]
At: TypeAlias = Literal["last", "all"] | tuple[int, ...]


@dataclass(frozen=True)
class Loss:
    """L = Σ_t ℓ_t over the steps `at`, with y_t the top layer's output.

    ::

        probe           ℓ_t = v · y_t                       v a unit vector per sequence
        sum             ℓ_t = Σ_j y_tj
        mse             ℓ_t = ‖V y_t − target_t‖² / m       m rows of V; NaN targets count 0
        cross_entropy   ℓ_t = −log softmax(V y_t)[target_t] 0 where target_t is −1

    Parameters
    ----------
    kind : {"probe", "sum", "mse", "cross_entropy"}
        ℓ.
    at : "last", "all" or tuple of int
        At which steps 1..T; of a bidirectional net ``last`` reads [h→_T; h←_T].
    readout : array or None
        v ``(nets, outputs, columns)`` for the probe, V ``(nets, m, outputs)`` for mse and
        cross_entropy.
    targets : array or None
        Values ``(steps, nets or 1, m, columns)`` or classes ``(steps, nets or 1, columns)``.
    """

    kind: Kind
    at: At = "last"
    readout: Array | None = None
    targets: Array | None = None

    @property
    def sees_outputs(self) -> bool:
        """Whether ∂ℓ_t/∂y_t depends on y_t."""
        return self.kind in ("mse", "cross_entropy")

    @property
    def needs(self) -> Keep:
        """What the tapes must hold beside the local derivatives."""
        return Keep.STATES if self.sees_outputs else Keep.NOTHING

    def steps(self, length: int) -> Array:
        """The loss steps of a sequence of `length` steps, ascending."""
        if self.at == "all":
            return np.arange(1, length + 1)
        return np.array([length] if self.at == "last" else sorted(self.at))

    def span(self, length: int) -> tuple[int, int]:
        """The first and the last of the loss steps."""
        if self.at == "all":
            return 1, length
        return (length, length) if self.at == "last" else (min(self.at), max(self.at))

    def cotangent(self, first: int, count: int, shape: tuple[int, ...], y: Array | None) -> Array:
        """∂ℓ_t/∂y_t for the steps first, …, first + count − 1.

        Parameters
        ----------
        first, count : int
            Which steps.
        shape : tuple of int
            Of one step's output, ``(nets, outputs, columns)``.
        y : array or None
            The outputs ``(count, *shape)``, where `sees_outputs`.

        Returns
        -------
        array
            ``(count, *shape)``, possibly a read-only view of one repeated step.
        """
        if self.kind == "sum":
            return np.broadcast_to(1.0, (count, *shape))
        if self.readout is None:
            raise ValueError(f"the loss {self.kind} needs a readout")
        if self.kind == "probe":
            return np.broadcast_to(self.readout, (count, *shape))
        if y is None:
            raise ValueError(f"the loss {self.kind} needs outputs")
        return pull(self.readout, self.residual(first, y))

    def residual(self, first: int, y: Array) -> Array:
        """∂ℓ_t/∂(V y_t) of mse and cross_entropy for the steps first, first + 1, … of y.

        Raises
        ------
        ValueError
            If the loss has no readout weights V.
        """
        if self.kind not in ("mse", "cross_entropy") or self.readout is None:
            raise ValueError(
                f"the loss {self.kind} has no readout weights: those of mse and cross_entropy are V"
            )
        if self.targets is None:
            raise ValueError(f"the loss {self.kind} needs targets")
        target = self.targets[first - 1 : first - 1 + len(y)]
        logits = self.readout @ y
        if self.kind == "cross_entropy":
            return _softmax_minus_target(logits, target)
        error: Array = 2 / logits.shape[-2] * np.where(np.isnan(target), 0, logits - target)
        return error


def _softmax_minus_target(logits: Array, target: Array) -> Array:
    """softmax − onehot(target); 0 where the target is −1."""
    e = np.exp(logits - logits.max(axis=-2, keepdims=True))
    e /= e.sum(axis=-2, keepdims=True)
    classes = np.arange(logits.shape[-2])[:, None]
    target = target[..., None, :]
    error: Array = (e - (classes == target)) * (target >= 0)
    return error
