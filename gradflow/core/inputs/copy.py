"""The copying problem: a string, a long blank, and the string again when asked."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradflow.core.inputs.batch import Batch, Seed, at_least, one_hot, sequence_streams
from gradflow.core.inputs.task import Task
from gradflow.core.options import option

__all__ = ["Copy"]


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
