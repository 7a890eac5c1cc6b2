"""Sums of matrices of rank one, and of their norms, at exponents of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradflow.core.cells import Summand
from gradflow.core.engine.observe import Block
from gradflow.core.record.sizes import Sized
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array

__all__ = ["RankOnes", "factors", "summands_of"]


@dataclass(frozen=True)
class RankOnes:
    """Σ_k G_k and Σ_k ‖G_k‖_F of each sequence, G_k = left_k right_kᵀ.

    Parameters
    ----------
    matrix : array
        Σ G, ``([lengths,] nets, columns, rows, cols)``, to be scaled by ``exponent``.
    norms : array
        Σ ‖G‖_F, ``([lengths,] nets, columns)``, to be scaled by ``norms_exponent``.
    exponent, norms_exponent : array of int
        ``([lengths,] nets, columns)``.
    """

    matrix: Array
    norms: Array
    exponent: Array
    norms_exponent: Array

    @classmethod
    def sum(cls, left: Sized, right: Sized) -> RankOnes:
        """Sum over steps; factors are ``(steps, [lengths,] nets, features, columns)``."""
        lefts, tops = _level(left)
        rights, others = _level(right)
        # (steps, …, features, columns) → (…, columns, features, steps)
        matrix = np.moveaxis(lefts, (-1, 0), (-3, -1)) @ np.moveaxis(rights, (-1, 0), (-3, -2))
        exponent = left.exponent + right.exponent
        top = exponent.max(axis=0)
        with np.errstate(under="ignore"):
            norms = np.ldexp(left.norms * right.norms, exponent - top).sum(axis=0)
        return cls(matrix, norms, tops + others, top)

    def plus(self, other: RankOnes) -> RankOnes:
        """Return the sum of both; `other` may hold more lengths, for which this one holds zero."""
        matrix, exponent = _plus(self.matrix, self.exponent, other.matrix, other.exponent)
        norms, top = _plus(self.norms, self.norms_exponent, other.norms, other.norms_exponent)
        return RankOnes(matrix, norms, exponent, top)

    def conflict(self) -> Array:
        """‖Σ G‖_F / Σ ‖G‖_F, ``([lengths,] nets, columns)``; NaN where every G is zero."""
        flat = self.matrix.reshape(*self.matrix.shape[:-2], -1)
        total = Sized.of(Scaled((flat.swapaxes(-1, -2),), self.exponent[..., None, :]))
        with np.errstate(invalid="ignore", under="ignore"):
            found: Array = np.ldexp(
                total.norms / self.norms, np.maximum(total.exponent - self.norms_exponent, -4000)
            )
        return found


def _level(each: Sized) -> tuple[Array, Array]:
    """All steps of a column at the largest of their exponents."""
    top: Array = each.exponent.max(axis=0)
    with np.errstate(under="ignore"):
        return np.ldexp(each.values, (each.exponent - top)[..., None, :]), top


def _plus(a: Array, a_exponent: Array, b: Array, b_exponent: Array) -> tuple[Array, Array]:
    """a + b at the larger exponent; of the lengths that only b has, b alone."""
    old = len(a_exponent)
    top = b_exponent.copy()
    top[:old] = np.maximum(a_exponent, b_exponent[:old])
    axes = (...,) + (None,) * (a.ndim - a_exponent.ndim)
    with np.errstate(under="ignore"):
        total = np.ldexp(b, (b_exponent - top)[axes])
        total[:old] += np.ldexp(a, (a_exponent - top[:old])[axes])
    return total, top


def summands_of(block: Block) -> dict[tuple[str, int], list[Summand]]:
    """The block's summands, one for each step, by parameter and index of the gate's row block."""
    swept, tape = block.swept, block.tape
    each: dict[tuple[str, int], list[Summand]] = {}
    for k, da in enumerate(swept.da):
        t = swept.start + k
        before, after = tape.states[t : t + 2]
        found = block.cell.summands(block.p, tape.caches[t], da, before, after, tape.x[t])
        for name, gates in found.items():
            for index, summand in enumerate(gates):
                each.setdefault((name, index), []).append(summand)
    return each


def factors(summands: list[Summand], exponent: Array) -> tuple[Sized, Sized]:
    """Left and right factors of consecutive steps, all written as outer products.

    Parameters
    ----------
    summands : list of Summand
        One gate's of one parameter, one for each step.
    exponent : array of int
        That of the steps' cotangents, ``([lengths,] nets, 1, columns)``.

    Returns
    -------
    left, right : Sized
        ``(steps, [lengths,] nets, features, columns)``.
    """
    lefts, rights = [], []
    for _, form, left, right in summands:
        if form == "outer" and right is not None:
            lefts.append(left)
            rights.append(right)
        else:
            lefts.append(left if right is None else left * right)
            rights.append(np.ones_like(left[..., :1, :]))
    left, right = np.stack(lefts), np.stack(rights)
    if right.ndim < left.ndim:
        right = right[:, None]
    steps = np.broadcast_to(exponent, (*left.shape[:-2], 1, left.shape[-1]))
    one = np.zeros((*right.shape[:-2], 1, right.shape[-1]), np.int32)
    return Sized.of(Scaled((left,), steps)), Sized.of(Scaled((right,), one))
