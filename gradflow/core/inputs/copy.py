"""The copying problem: a string, a long blank, and the string again when asked."""

from __future__ import annotations

import numpy as np

from gradflow.core.inputs.batch import Batch, at_least, one_hot, sequence_streams
from gradflow.core.inputs.task import Task

__all__ = ["TASK", "copy"]


def shortest(*, symbols: int = 8, memory: int = 10) -> int:
    """Fewest steps: the string, the delimiter, and room for the answer."""
    return 2 * memory + 1


def copy(steps: int, sequences: int, seed: int, *, symbols: int = 8, memory: int = 10) -> Batch:
    """One-hot symbols a_0 … a_{n−1}, blank a_n and delimiter a_{n+1}, with n = `symbols`.

    The first m = `memory` steps are drawn evenly from the n symbols; blanks follow; the delimiter
    stands m + 1 steps from the end; then m blanks. The answer is blank at every step but the last
    m, where it is the string (Arjovsky, Shah & Bengio 2016, section 4.1, with n = 8 and m = 10;
    their T is ``steps − 2 m``). Answering blanks and then guessing costs m ln n / ``steps`` a step.

    Parameters
    ----------
    steps, sequences, seed : int
        Length (at least 2 m + 1), number of columns, and the seed of the data.
    symbols, memory : int
        Size n of the alphabet and length m of the string.

    Returns
    -------
    Batch
        ``x`` (steps, 1, n + 2, sequences); targets ``classes``, n + 1 of them (the delimiter is
        never an answer).

    Raises
    ------
    ValueError
        If `steps` is too short, or `symbols` or `memory` is below 1.
    """
    if symbols < 1 or memory < 1:
        raise ValueError(
            f"copy needs at least 1 symbol and a memory of 1, not {symbols} and {memory}"
        )
    at_least(steps, shortest(memory=memory), f"copy with a memory of {memory}")
    blank, delimiter = symbols, symbols + 1
    codes = np.full((steps, sequences), blank)
    targets = np.full((steps, 1, sequences), blank)
    for j, rng in sequence_streams(seed, "copy", sequences):
        string = rng.integers(symbols, size=memory)
        codes[:memory, j] = string
        targets[-memory:, 0, j] = string
    codes[-memory - 1] = delimiter
    return Batch(one_hot(codes, symbols + 2), targets, "classes", classes=symbols + 1)


TASK = Task("copy", copy, "classes", shortest=shortest)
