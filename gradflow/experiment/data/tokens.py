"""Sequences of tokens, which a net reads as rows of its embedding."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gradflow.core.inputs import Batch
from gradflow.core.typing import Array
from gradflow.errors import visible
from gradflow.experiment.data.reading import enough, mistake

__all__ = ["Tokens", "checked_tokens"]


@dataclass(frozen=True)
class Tokens:
    """Sequences of whole numbers that an embedding has a row for; the target is what follows.

    Parameters
    ----------
    path : Path
        The file.
    codes : array of int
        ``(sequences, steps)``; −1 after the end of a sequence.
    lengths : array of int or None
        Where each sequence ends; None: all at the last step.
    table : array
        The embedding, ``(tokens, features)``.
    """

    path: Path
    codes: Array
    lengths: Array | None = None
    table: Array = field(default_factory=lambda: np.zeros((0, 1)))

    def batch(self, steps: int | None, sequences: int | None) -> Batch:
        """Look tokens up in the embedding; see `FileData`."""
        rows = len(self.table)
        if self.codes.max() >= rows:
            where = np.unravel_index(int(self.codes.argmax()), self.codes.shape)
            raise mistake(
                self.path,
                f"token {self.codes.max()} at sequence {where[0]}, step {where[1]}, from 0",
                expected=f"tokens below {rows}, the embedding's rows",
            )
        n, T = self.codes.shape
        enough(self.path, "sequences", n, sequences, "inputs.sequences")
        enough(self.path, "steps", T, steps, "length")
        steps = T if steps is None else steps
        codes = self.codes[:sequences, :steps]
        own = None if self.lengths is None else np.minimum(self.lengths[: len(codes)], steps)
        targets = np.full((steps, 1, len(codes)), -1)
        following = self.codes[: len(codes), 1 : steps + 1].T
        targets[: len(following), 0] = following
        x = self.table[codes.T].transpose(0, 2, 1)[:, None] * (codes.T >= 0)[:, None, None]
        ragged = own is not None and own.min() < steps
        return Batch(x, targets, "classes", own is None, rows, lengths=own if ragged else None)

    def notes(self) -> list[str]:
        """See `FileData`."""
        n, T = self.codes.shape
        most = f"{self.codes.max() + 1:,} at most"
        return [f"read {visible(self.path.name)}: {n:,} × {T:,} tokens, {most}"]


def checked_tokens(path: Path, array: Array, lengths: Array | None) -> Tokens:
    """Check an array of tokens, (sequences, steps) or (steps,) for one sequence."""
    codes = array[None] if array.ndim == 1 else array
    if codes.ndim != 2 or codes.size == 0 or codes.dtype.kind not in "iu":
        raise mistake(
            path,
            f"the array is shaped {array.shape}, {array.dtype.name}",
            expected="tokens: whole numbers, (sequences, steps)",
            fix="remove embedding, under inputs, if these are numbers",
        )
    codes = codes.astype(np.int64)
    there = np.arange(codes.shape[1]) < (codes.shape[1] if lengths is None else lengths[:, None])
    if codes[there & np.ones_like(codes, bool)].min() < 0:
        raise mistake(path, "a token is negative", expected="tokens from 0")
    codes = np.where(there, codes, -1)
    return Tokens(path, codes[:, : None if lengths is None else int(lengths.max())], lengths)
