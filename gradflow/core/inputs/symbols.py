"""Inputs of symbols: a string to copy after a blank; which of two symbols came first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradflow.core.inputs.task import (
    Batch,
    Criterion,
    Seed,
    Task,
    at_least,
    one_hot,
    sequence_streams,
)
from gradflow.core.registry import option

__all__ = ["SYMBOLS", "Copy", "TemporalOrder"]


@dataclass(frozen=True)
class Copy(Task):
    """One-hot symbols a_0 … a_{n−1}, blank a_n and delimiter a_{n+1}, with n = `symbols`.

    The first m = `memory` steps are drawn evenly from the n symbols; blanks follow; the delimiter
    stands m + 1 steps from the end; then m blanks. The answer is blank at every step but the last
    m, where it is the string (Arjovsky, Shah & Bengio 2016, section 4.1, with n = 8 and m = 10;
    their T is ``steps − 2 m``). Answering blanks and then guessing costs m ln n / ``steps`` a step.

    Parameters
    ----------
    symbols, memory : int
        Size n of the alphabet and length m of the string.
    """

    kind = "copy"
    target_kind = "classes"

    symbols: int = option(8, "size of the alphabet", least=1, most=10_000)
    memory: int = option(10, "length of the string to remember", least=1, most=1_000_000)

    @property
    def features(self) -> int:
        """The symbols, the blank and the delimiter."""
        return self.symbols + 2

    @property
    def shortest(self) -> int:
        """The string, the delimiter, and room for the answer."""
        return 2 * self.memory + 1

    def draw(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Draw sequences.

        Returns
        -------
        Batch
            ``x`` (steps, 1, n + 2, sequences); targets ``classes``, n + 1 of them (the
            delimiter is never an answer).
        """
        n, m = self.symbols, self.memory
        if n < 1 or m < 1:
            raise ValueError(f"copy needs at least 1 symbol and a memory of 1, not {n} and {m}")
        at_least(steps, self.shortest, f"copy with a memory of {m}")
        blank, delimiter = n, n + 1
        codes = np.full((steps, sequences), blank)
        targets = np.full((steps, 1, sequences), blank)
        for j, rng in sequence_streams(seed, "copy", sequences):
            string = rng.integers(n, size=m)
            codes[:m, j] = string
            targets[-m:, 0, j] = string
        codes[-m - 1] = delimiter
        return Batch(one_hot(codes, self.features), targets, "classes", classes=n + 1)

    def baseline(self, steps: int) -> float:
        """m ln n / steps: blanks, and then guesses."""
        return self.memory * math.log(self.symbols) / steps


SYMBOLS = "EBabcdXY"
"""The one-hot features in order: start, trigger, four distractors, the two that matter."""


WINDOWS = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}
"""Where each of the symbols may stand, in hundredths of the length."""


@dataclass(frozen=True)
class TemporalOrder(Task):
    """Classify (X, X), (X, Y), (Y, X), (Y, Y) as 0, 1, 2, 3 at the last step; or triples as 0 … 7.

    E starts, B (the trigger) ends, and all between is drawn from a, b, c, d but for steps t₁ and
    t₂, which are X or Y. Experiment 6a of Hochreiter & Schmidhuber (1997, section 5.6) has
    t₁ ∈ 10..20 and t₂ ∈ 50..60 in strings of 100 to 110 symbols; here the length T is given and
    the windows scale with it: t₁ ∈ ⌊T/10⌋..⌊T/5⌋ and t₂ ∈ ⌊T/2⌋..⌊3T/5⌋, counted from 0, E. With
    three marks (6b) t₂ ∈ ⌊33T/100⌋..⌊43T/100⌋ and t₃ ∈ ⌊66T/100⌋..⌊76T/100⌋. A sequence is right if
    no output is off by 0.3; 2,000 in a row must be, with a mean error below 0.1.
    """

    kind = "temporal-order"
    target_kind = "classes"
    targets_at = "last"
    features = len(SYMBOLS)
    shortest = 10

    marks: Literal[2, 3] = option(2, "symbols whose order is asked for (6a, 6b)")

    @property
    def criterion(self) -> Criterion:
        """That of 1997."""
        return Criterion(within=0.3, mean=0.1)

    def draw(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Draw sequences.

        Returns
        -------
        Batch
            ``x`` (T, 1, 8, sequences) in the order of `SYMBOLS`; targets ``classes``, 4
            or 8 of them, at the last step only.
        """
        at_least(steps, 10, "temporal-order")
        codes = np.empty((steps, sequences), dtype=np.int64)
        targets = np.full((steps, 1, sequences), -1)
        windows = WINDOWS[self.marks]
        for j, rng in sequence_streams(seed, "temporal-order", sequences):
            at = [rng.integers(lo * steps // 100, hi * steps // 100 + 1) for lo, hi in windows]
            which = rng.integers(2, size=self.marks)
            codes[:, j] = SYMBOLS.index("a") + rng.integers(4, size=steps)
            codes[at, j] = SYMBOLS.index("X") + which
            targets[-1, 0, j] = sum(bit << k for k, bit in enumerate(which[::-1].tolist()))
        codes[0], codes[-1] = SYMBOLS.index("E"), SYMBOLS.index("B")
        return Batch(one_hot(codes, len(SYMBOLS)), targets, "classes", classes=2**self.marks)

    def baseline(self, steps: int) -> float:
        """ln 4 or ln 8: a guess among all."""
        return self.marks * math.log(2)
