"""What a net that learns is asked: its answers at the steps that have targets, and their errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradflow.core.engine.plain import Unrolled, unrolled
from gradflow.core.network.readout import Head
from gradflow.core.network.stack import Network, Weights
from gradflow.core.typing import Array, Params

__all__ = ["Answer", "Objective", "Question"]


@dataclass(frozen=True)
class Question:
    """Sequences of every net, and what is to be answered.

    Parameters
    ----------
    x : array
        Inputs ``(steps, nets, features, columns)``.
    steps : array of int
        Indices of the steps at which any sequence has a target.
    targets : array
        At these steps ``(len(steps), nets, m, columns)``, NaN where there is none; classes are
        one-hot.
    allowed : array of bool or None
        Like `targets`: which outputs may be the largest, where more than one answer is right.
    """

    x: Array
    steps: Array
    targets: Array
    allowed: Array | None = None


@dataclass(frozen=True)
class Answer:
    """What a pass forward found.

    Parameters
    ----------
    loss : array
        L of each sequence, ``(nets, columns)``.
    error : array
        Mean |target − o| over outputs and steps of each sequence, ``(nets, columns)``.
    worst : array
        The largest |target − o|, ``(nets, columns)``.
    missed : array of bool
        Whether at any step the largest output is not the right one, ``(nets, columns)``.
    """

    loss: Array
    error: Array
    worst: Array
    missed: Array


@dataclass(frozen=True)
class Objective:
    """L = Σ_t ℓ_t over the steps that have targets; an update follows its mean over the batch.

    ::

        mse             ℓ_t = ‖o_t − target_t‖² / m
        half_squares    ℓ_t = ½ ‖o_t − target_t‖²              Hochreiter & Schmidhuber 1997
        cross_entropy   ℓ_t = −log softmax(o_t)[target_t]

    Parameters
    ----------
    loss : {"mse", "half_squares", "cross_entropy"}
        ℓ.
    head : Head
        What gives o.
    ends : bool
        Whether o is read from each direction's own last state, [h→_T; h←_1], and not from y_t. All
        sequences then have one target, at their last step, and one length.
    """

    loss: Literal["mse", "half_squares", "cross_entropy"]
    head: Head
    ends: bool = False

    def read(self, forward: Unrolled, question: Question) -> Array:
        """What o is read from, ``(len(steps), nets, features, columns)``."""
        top = len(forward.tapes) - 1
        return forward.ends(top) if self.ends else forward.outputs(top, question.steps)

    def placed(self, dy: Array, question: Question) -> list[Array | None]:
        """∂L/∂y_t of every step from what `read` gave."""
        placed: list[Array | None] = [None] * len(question.x)
        for step, each in zip(question.steps.tolist(), dy, strict=True):
            placed[step] = each
        if self.ends and len(placed) > 1:  # the backward direction ends where the input begins
            first, last = dy[0].copy(), dy[0].copy()
            half = dy.shape[-2] // 2
            first[..., :half, :] = last[..., half:, :] = 0
            placed[0], placed[-1] = first, last
        return placed

    def answer(self, p: Params, y: Array, question: Question) -> tuple[Answer, Array, Array]:
        """Answer a question.

        Parameters
        ----------
        p : Params
            The head's parameters.
        y : array
            The net's outputs at the question's steps.
        question : Question
            What is asked.

        Returns
        -------
        answer : Answer
            Losses and errors.
        o, do : array
            The outputs and ∂L/∂o, a mean over columns, at the question's steps.
        """
        o = self.head.of(p)(y, question.x[question.steps])
        targets = question.targets
        known = ~np.isnan(targets)
        if self.loss == "cross_entropy":
            top = o.max(axis=-2, keepdims=True)
            e = np.exp(o - top)
            total = e.sum(axis=-2, keepdims=True)
            logs = o - top - np.log(total)
            o, do = e / total, e / total - targets
            losses = -np.where(known, targets * logs, 0.0)
            gap = np.where(known, do, 0.0)
            do = gap
        else:
            gap = np.where(known, o - targets, 0.0)
            scale = 0.5 if self.loss == "half_squares" else 1 / o.shape[-2]
            losses, do = scale * gap * gap, 2 * scale * gap
        size = np.abs(gap)
        count = np.maximum(known.sum(axis=(0, 2)), 1)
        answer = Answer(
            loss=losses.sum(axis=(0, 2)),
            error=size.sum(axis=(0, 2)) / count,
            worst=size.max(axis=(0, 2)),
            missed=_missed(o, targets, known, question.allowed),
        )
        return answer, o, do / o.shape[-1]

    def ask(self, net: Network, weights: Weights, p: Params, question: Question) -> Answer:
        """Ask nets without teaching them."""
        forward = unrolled(net, weights, question.x, back=False)
        return self.answer(p, self.read(forward, question), question)[0]


def _missed(o: Array, targets: Array, known: Array, allowed: Array | None) -> Array:
    """Whether the largest output is wrong at a step: all that are allowed have to lead."""
    asked = known.any(axis=-2)
    if allowed is None:
        if o.shape[-2] == 1:
            wrong = ((o > 0.5) != (targets > 0.5))[..., 0, :]
        else:
            wrong = o.argmax(axis=-2) != np.where(known, targets, 0).argmax(axis=-2)
    else:
        least = np.where(allowed, o, np.inf).min(axis=-2)
        wrong = least <= np.where(allowed, -np.inf, o).max(axis=-2)
    missed: Array = (wrong & asked).any(axis=0)
    return missed
