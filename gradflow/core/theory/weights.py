"""What theory takes from a recurrent matrix."""

from __future__ import annotations

import numpy as np

from gradflow.core.cells import blocks
from gradflow.core.typing import Array

__all__ = ["gains", "why_not_random", "why_not_wide"]

_FEW = 100
"""Units below which draws of the weights differ so much that N → ∞ says little about one."""

_ALIGNED = 10.0


def gains(W: Array, count: int) -> Array:
    """σ_k = ‖W_k‖_F / √N for the `count` gates' blocks of W ``(count N, N)``.

    Independent elements of variance σ²/N have it for N → ∞, whatever their distribution, and so
    has σ times an orthogonal matrix.
    """
    norms = [np.linalg.norm(block) for block in blocks(W, count)]
    each: Array = np.array(norms) / np.sqrt(W.shape[-1])
    return each


def why_not_wide(units: int | None) -> list[str]:
    """Why a limit N → ∞ says little about so many units; nothing if it does, or for None."""
    if units is None or units >= _FEW:
        return []
    return [f"{units} units are few: draws of the weights scatter (N ≥ {_FEW})"]


def why_not_random(W: Array, count: int) -> list[str]:
    """Reasons why a theory of wide random W does not hold for these weights; none if it does."""
    N = W.shape[-1]
    reasons = why_not_wide(N)
    for block in blocks(W, count):
        total = float(np.sum(block**2))
        # Independent elements hold 1/N of their squares on the diagonal.
        if N > 1 and float(np.sum(np.diagonal(block) ** 2)) * N > _ALIGNED * total > 0:
            reasons.append("W is near diagonal, not random")
            break
    return reasons
