"""Strings of the embedded Reber grammar, one by one or one after another without end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gradflow.core.inputs.noise import symbol_stream
from gradflow.core.inputs.task import Batch, Criterion, Seed, Task, at_least, sequence_streams
from gradflow.core.registry import option

__all__ = ["SYMBOLS", "Reber"]

SYMBOLS = "BTPSXVE"
"""The one-hot features in order."""

Automaton = list[tuple[tuple[int, int], tuple[int, int]]]

# Reber's grammar (1967): for each node the two ways out, (symbol, next node); node 6 is the end.
GRAMMAR = (
    (("T", 1), ("P", 2)),
    (("S", 1), ("X", 3)),
    (("T", 2), ("V", 4)),
    (("X", 2), ("S", 5)),
    (("P", 3), ("V", 5)),
    (("E", 6), ("E", 6)),
)


@dataclass(frozen=True)
class Reber(Task):
    """Predict the next symbol of ``B p R p E B p R p E …``, R a Reber string and p either T or P.

    Each way out of a node is taken with probability ½. The second p repeats the first: to predict
    it, a net has to remember p across R, at least 5 and on average 8 symbols long. Grammar: Reber
    (1967); embedded: Cleeremans, Servan-Schreiber & McClelland (1989); experiment 1 of Hochreiter
    & Schmidhuber (1997, section 5.1), who present one string at a time (`strings` single: those
    that are not longer than T, followed by silence without targets); the continuous stream is
    Gers, Schmidhuber & Cummins (2000). Where two symbols may come next a net is right if these two
    have the largest outputs; the criterion for single strings is that all of a test set of 256 are
    predicted without an error.
    """

    kind = "reber"
    target_kind = "classes"
    features = len(SYMBOLS)

    strings: Literal["endless", "single"] = option("endless", "one stream, or string by string")

    @property
    def prefix(self) -> bool:  # type: ignore[override]  # it depends on the strings
        """A stream is, a string is not."""
        return self.strings == "endless"

    @property
    def shortest(self) -> int:
        """The shortest string, without its last symbol, which nothing follows."""
        return 1 if self.strings == "endless" else 8

    @property
    def criterion(self) -> Criterion | None:
        """A test set of 256 strings."""
        return Criterion(test=256, window=256) if self.strings == "single" else None

    def draw(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Draw sequences.

        Returns
        -------
        Batch
            ``x`` (steps, 1, 7, sequences) in the order of `SYMBOLS`; targets
            ``classes``: the symbol that comes next, at every step; a prefix stream.
        """
        at_least(steps, self.shortest, "reber")
        codes = np.empty((sequences, steps + 1), dtype=np.int64)
        allowed = np.zeros((steps, 1, len(SYMBOLS), sequences), dtype=bool)
        last = np.full(sequences, steps)
        for j, rng in sequence_streams(seed, "reber", sequences):
            end = steps + 1
            while end > steps:  # a single string has to end in time
                codes[j], nodes = _walk((rng.random(steps + 1) < 0.5).tolist())
                ends = [*(t for t, node in enumerate(nodes) if node == 0), steps + 1]
                end = steps if self.strings == "endless" else ends[0]
            last[j] = end
            allowed[:, 0, :, j] = LEGAL[nodes[:steps]]
        batch = symbol_stream(codes, len(SYMBOLS), steps)
        if self.strings == "endless" or batch.targets is None:
            return replace(batch, allowed=allowed)
        after = np.arange(steps)[:, None] >= last  # E, the last symbol, is predicted, not read
        x, targets = batch.x.copy(), batch.targets.copy()
        x[np.broadcast_to(after[:, None, None], x.shape)] = 0
        targets[after[:, None]] = -1
        return replace(batch, x=x, targets=targets, prefix=False, allowed=allowed)


def _walk(turns: list[bool]) -> tuple[list[int], list[int]]:
    """The symbols of a way through the grammar, and the node after each."""
    node, codes, nodes = 0, [], []
    for turn in turns:
        code, node = AUTOMATON[node][turn]
        codes.append(code)
        nodes.append(node)
    return codes, nodes


def _embedded() -> Automaton:
    """Lay the endless embedded grammar out: start 0, choice of p 1, end 2, then an arm for each p.

    An arm is B, the six nodes of the grammar, and p again.
    """
    size = len(GRAMMAR) + 2
    ways = [_both("B", 1), (_way("T", 3), _way("P", 3 + size)), _both("E", 0)]
    for base, p in ((3, "T"), (3 + size, "P")):
        ways.append(_both("B", base + 1))
        for (left, to_left), (right, to_right) in GRAMMAR:
            ways.append((_way(left, base + 1 + to_left), _way(right, base + 1 + to_right)))
        ways.append(_both(p, 2))
    return ways


def _way(symbol: str, node: int) -> tuple[int, int]:
    return SYMBOLS.index(symbol), node


def _both(symbol: str, node: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return _way(symbol, node), _way(symbol, node)


AUTOMATON = _embedded()
"""For each node the two ways out, as (code of the symbol, next node)."""

LEGAL = np.array([np.isin(np.arange(7), [code for code, _ in ways]) for ways in AUTOMATON])
"""For each node, the symbols that may come next."""
