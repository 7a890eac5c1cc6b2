"""The spectrum behind the norm: how a state's derivatives stretch and shrink in every direction.

With S_t the joint carried state of all layers and J_t = ∂S_t/∂S_{t−1}, an orthonormal frame of
adjoints goes back step by step,

::

    J_tᵀ Q_t = Q_{t−1} R_t            (QR)
    (∂S_T/∂S_k)ᵀ = Q_k R_{k+1} ⋯ R_T Q_Tᵀ

so the singular values of ∂S_T/∂S_k are those of a product of small triangles, kept row by row with
an exponent of its own, and the Lyapunov exponents are the means of log|diag R_t|. Nothing leaves
the range of floats at any length, and only products of Jᵀ with the frame are ever formed.

References
----------
G. Benettin, L. Galgani, A. Giorgilli and J.-M. Strelcyn, Lyapunov characteristic exponents for
smooth dynamical systems, Meccanica 15 (1980). D. E. Stewart, A new algorithm for the SVD of a long
product of matrices and the stability of products, ETNA 5 (1997). R. Vogt et al., On Lyapunov
exponents for RNNs, Frontiers in Applied Mathematics and Statistics 8 (2022).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gradflow.core.analyses.frame import Frame, travel, width
from gradflow.core.analyses.graded import log2_singular_values
from gradflow.core.engine.schedule import Schedule, Work
from gradflow.core.network.stack import Network, States, Weights
from gradflow.core.scaled import LOG10_2, NOTHING, Scaled, stacked
from gradflow.core.typing import Array, DType

__all__ = [
    "Exponents",
    "Spectrum",
    "bytes_needed",
    "condition",
    "lyapunov",
    "participation",
    "spectrum",
]

BLOCKS = 20
"""Blocks of time whose scatter gives the exponents' error."""

_TOGETHER = 1 << 20
"""Bytes of matrices whose singular values are sought side by side."""


@dataclass(frozen=True)
class Exponents:
    """Lyapunov exponents, largest first.

    Parameters
    ----------
    decades : array
        λ_i = mean over steps of log10|R_t,ii|, decades per step, ``(nets, sequences, vectors)``.
        −inf where one step's Jacobian is singular to working precision in that direction.
    error : array
        Standard errors by batch means: time is cut into blocks, long against the correlation time,
        whose means are taken as independent. They know of time alone, not of how much the draw of
        the weights matters.
    """

    decades: Array
    error: Array

    @property
    def nats(self) -> Array:
        """The same exponents as natural logarithms per step."""
        return self.decades * math.log(10)


@dataclass(frozen=True)
class Spectrum:
    """Singular values of ∂S_T/∂S_k and the Lyapunov exponents, of the joint carried state.

    Parameters
    ----------
    steps : array of int
        k, ascending.
    log10_singular : array
        log10 σ_i, descending, ``(nets, sequences, steps, D)`` with D the size of the joint state.
    exponents : Exponents
        Over all steps.
    """

    steps: Array
    log10_singular: Array
    exponents: Exponents


def spectrum(
    net: Network,
    weights: Weights,
    x: Array,
    steps: Sequence[int] = (0,),
    *,
    settle: int | None = None,
    initial: States | None = None,
) -> Spectrum:
    """Compute all singular values of ∂S_T/∂S_k for the given k, and all Lyapunov exponents.

    Takes time as T·D³, and memory as √T steps of the forward pass, T·D logarithms and D² numbers
    for each k.

    Parameters
    ----------
    net, weights : Network, Weights
        A unidirectional network.
    x : array
        Inputs ``(T, nets or 1, inputs, sequences)``.
    steps : sequence of int
        The k, in 0..T.
    settle : int or None
        See `lyapunov`.
    initial : States, optional
        As in `backpropagate`.

    Raises
    ------
    ValueError
        If the network is bidirectional, or a step is out of range.
    NumericalError
        If a state or a single step's derivative overflows.
    """
    T, wanted = len(x), sorted(set(steps))
    if not wanted or wanted[0] < 0 or wanted[-1] > T:
        raise ValueError(f"steps must lie in 0..{T}, not {list(steps)}")
    frame = Frame(net, *width(weights, x))
    found: dict[int, Scaled] = {}

    def keep(step: int) -> None:
        if step in wanted:
            found[step] = frame.product

    growth = _growth(net, weights, x, frame, keep, initial)
    together = _together(frame.product.values.nbytes)
    logs = np.concatenate(
        [
            log2_singular_values(stacked([found.pop(k) for k in wanted[i : i + together]]))
            for i in range(0, len(wanted), together)
        ]
    )
    logs = np.moveaxis(logs, 0, 2) * LOG10_2
    return Spectrum(np.array(wanted), logs, _exponents(growth, settle))


def bytes_needed(
    net: Network, nets: int, columns: int, length: int, kept: int, dtype: DType
) -> int:
    """Predict the bytes that `spectrum` takes at its peak for a number of kept steps.

    Growth is kept at every step, a product of triangles at each kept one; the frame goes through
    a block of √T steps, whose tapes it needs, and some copies of itself; singular values are sought
    in copies of a few products.
    """
    D, each = net.joint, 8 * nets * columns
    matrix = each * (D * D + D)
    growth = each * (length + 1) * D
    block = math.isqrt(length - 1) + 1
    pass_ = Work(net, nets, columns, (length,), 0, dtype).footprint(Schedule(block, keep=False))
    step = 12 * matrix + pass_.tapes + pass_.block
    values = 7 * min(kept, _together(matrix)) * matrix
    return growth + kept * matrix + max(step, values)


def _together(matrix: int) -> int:
    """How many steps' matrices go side by side."""
    return max(1, _TOGETHER // matrix)


def lyapunov(
    net: Network,
    weights: Weights,
    x: Array,
    vectors: int | None = None,
    *,
    settle: int | None = None,
) -> Exponents:
    """Compute the leading Lyapunov exponents from a frame of a few vectors.

    Parameters
    ----------
    net, weights : Network, Weights
        A unidirectional network.
    x : array
        Inputs ``(T, nets or 1, inputs, sequences)``.
    vectors : int or None
        How many exponents; None means all.
    settle : int or None
        Steps left out at either end: early on the state has not settled, and at the end, where the
        way back begins, the frame has not turned yet. None means a tenth of all.

    Raises
    ------
    ValueError
        If the network is bidirectional, or there are not as many directions.
    NumericalError
        If a state or a single step's derivative overflows.
    """
    frame = Frame(net, *width(weights, x), vectors)
    return _exponents(_growth(net, weights, x, frame), settle)


def condition(log10_singular: Array) -> Array:
    """log10 of σ_1/σ_D, the condition number; +inf for a singular matrix."""
    largest, smallest = log10_singular[..., 0], log10_singular[..., -1]
    gap: Array = np.where(np.isinf(smallest), 0, largest) - smallest
    return gap


def participation(log10_singular: Array) -> Array:
    """(Σσ²)² / Σσ⁴: how many directions carry the flow, from 1 to D; 0 for the zero matrix."""
    top = log10_singular.max(axis=-1, keepdims=True)
    with np.errstate(under="ignore"):
        squares = 10 ** (2 * (log10_singular - np.where(np.isinf(top), 0, top)))
    total = np.sum(squares, axis=-1)
    share: Array = total**2 / np.maximum(np.sum(squares**2, axis=-1), np.finfo(float).tiny)
    return share


def _growth(
    net: Network,
    weights: Weights,
    x: Array,
    frame: Frame,
    keep: Callable[[int], None] | None = None,
    initial: States | None = None,
) -> Array:
    """Take a frame back: log2 of its growth since T, at steps T, …, 0; `keep` looks at each."""
    T = len(x)
    growth = np.empty((T + 1, *frame.growth.shape))

    def at_step(step: int) -> None:
        growth[T - step] = frame.growth
        if keep is not None:
            keep(step)

    travel(net, weights, x, frame, at_step, initial)
    return growth


def _exponents(growth: Array, settle: int | None) -> Exponents:
    """Mean growth per step and its error, from log2 of the growth since T at steps T, …, 0."""
    T = len(growth) - 1
    skip = T // 10 if settle is None else settle
    if not 0 <= 2 * skip < T:
        raise ValueError(f"leaving out {skip} steps at either end leaves none of {T}")
    total = growth[skip : T - skip + 1]
    gone = growth[-1] == NOTHING
    borders = np.linspace(0, len(total) - 1, min(BLOCKS, len(total) - 1) + 1).round().astype(int)
    blocks = np.diff(total[borders], axis=0) * LOG10_2 / np.diff(borders)[:, None, None, None]
    error = np.full(gone.shape, np.inf)
    if len(blocks) > 1:
        error = blocks.std(axis=0, ddof=1) / math.sqrt(len(blocks))
    mean = np.where(gone, -np.inf, (total[-1] - total[0]) * LOG10_2 / (len(total) - 1))
    order = np.argsort(-mean, axis=-1, kind="stable")
    error = np.where(gone, 0, error)
    return Exponents(*(np.take_along_axis(a, order, axis=-1) for a in (mean, error)))
