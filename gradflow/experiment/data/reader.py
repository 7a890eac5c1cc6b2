"""A user's file as inputs: series of numbers, or the characters of a text, and what was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from gradflow.core.inputs import Batch, series_stream, symbol_stream
from gradflow.core.typing import Array
from gradflow.errors import visible
from gradflow.experiment.data.delimited import read_csv
from gradflow.experiment.data.reading import (
    MAX_BYTES,
    enough,
    finite,
    mistake,
    once,
    read_npy,
    read_npz,
    read_text,
)
from gradflow.experiment.data.tokens import Tokens, checked_tokens

__all__ = ["FileData", "read_file", "read_tokens"]

AXES = ("sequence", "step", "feature")
OWN_LENGTHS = ("lengths", "mask")
SUFFIXES = (".npy", ".npz", ".csv", ".txt")


class FileData(Protocol):
    """What a file holds."""

    def batch(self, steps: int | None, sequences: int | None) -> Batch:
        """The first sequences and steps (None: all) as inputs; the targets are what follows.

        Raises
        ------
        UserError
            If there are fewer.
        """

    def notes(self) -> list[str]:
        """How it was read, and what looks as if it were no feature."""


@dataclass(frozen=True)
class Numbers:
    """Numbers ``(sequences, steps, features)``, and the features' names if they have any.

    Parameters
    ----------
    path : Path
        The file.
    values : array
        The numbers; NaN after the end of a sequence.
    names : tuple of str
        The features' names.
    flat : bool
        Whether the file has no axis of sequences.
    lengths : array of int or None
        Where each sequence ends; None: all at the last step.
    """

    path: Path
    values: Array
    names: tuple[str, ...] = ()
    flat: bool = False
    lengths: Array | None = None

    def batch(self, steps: int | None, sequences: int | None) -> Batch:
        """See `FileData`."""
        available, total, _ = self.values.shape
        enough(self.path, "sequences", available, sequences, "inputs.sequences")
        enough(self.path, "steps", total, steps, "length")
        if self.lengths is None:
            return series_stream(self.values[:sequences], steps)
        own = self.lengths[:sequences]
        batch = series_stream(self.values[:sequences], steps or int(own.max()))
        own = np.minimum(own, len(batch.x))
        x = np.where(np.isnan(batch.x), 0, batch.x)
        return replace(batch, x=x, prefix=False, lengths=own if own.min() < len(x) else None)

    def notes(self) -> list[str]:
        """See `FileData`."""
        n, T, features = self.values.shape
        warning = f"warning: {self.path.name}"
        read = f"read {visible(self.path.name)}: {_count(n, 'sequence')} × {_count(T, 'step')} × "
        found = [read + _count(features, "feature")]
        if self.lengths is not None:
            found[0] += f", each sequence ends after {self.lengths.min()} to {T} of them"
        if self.flat and features > T:
            found.append(
                f"{warning}: more features than steps; {T} series of one feature are shaped "
                f"({T}, {features}, 1)"
            )
        for j in range(features):
            x = self.values[..., j].astype(np.float64)
            name = f"column {self.names[j] if self.names else j}"
            low, high = f"{np.nanmin(x):g}", f"{np.nanmax(x):g}"
            apart = np.diff(x, axis=1)
            if low == high:
                found.append(f"{warning}: {name} is {low} at every step")
            elif T > 2 and ((apart == x[0, 1] - x[0, 0]) | np.isnan(apart)).all():
                found.append(f"{warning}: {name} counts from {low} to {high}, as an index")
        return found


@dataclass(frozen=True)
class Text:
    """Characters, one-hot; the alphabet is all that occur, sorted."""

    path: Path
    codes: Array
    alphabet: Array = field(repr=False)

    def batch(self, steps: int | None, sequences: int | None) -> Batch:
        """Cut the text into pieces of equal length, what is left over dropped; see `FileData`."""
        pieces = sequences or 1
        piece = len(self.codes) // pieces
        enough(self.path, "characters", len(self.codes), pieces, "sequences")
        each = "steps" if pieces == 1 else f"steps in each of {pieces} pieces"
        enough(self.path, each, piece, steps or 1, "length")
        steps = piece if steps is None else steps
        size = 8 * steps * pieces * len(self.alphabet)
        if size > MAX_BYTES:
            raise mistake(
                self.path,
                f"{len(self.alphabet)} characters, one-hot, need {size:,} bytes at {steps} steps",
                expected=f"at most {MAX_BYTES:,} bytes",
                fix="set a smaller `length` or `inputs.sequences`",
            )
        codes = self.codes[: pieces * piece].reshape(pieces, piece)
        return symbol_stream(codes, len(self.alphabet), steps)

    def notes(self) -> list[str]:
        """See `FileData`."""
        count = _count(len(self.codes), "character")
        return [f"read {visible(self.path.name)}: {count}, {len(self.alphabet)} different"]


@once
def read_file(path: Path, columns: Sequence[str] | None = None) -> FileData:
    """Read series of numbers (.npy, .npz, .csv) or one-hot characters (.txt) from a file.

    Numbers are shaped (sequences, steps, features), or (steps, features) for one sequence. Beside x
    an .npz may have ``lengths`` (sequences,) or a ``mask`` (sequences, steps), true to each one's
    last step: what follows it is never read.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str, optional
        The features that are read: names of a table's columns, or positions from 0.

    Raises
    ------
    UserError
        If the file cannot be read, or holds what would be left out silently.
    """
    suffix = path.suffix.lower()
    if suffix == ".txt":
        if columns is not None:
            raise mistake(path, "a text has no columns", fix="remove columns, under inputs")
        characters = np.frombuffer(read_text(path).encode("utf-32-le"), "<u4")
        alphabet, codes = np.unique(characters, return_inverse=True)
        return Text(path, codes, alphabet)
    if suffix == ".csv":
        series, names = read_csv(path, columns)
        return Numbers(path, _checked(series, path), names)
    if suffix not in SUFFIXES:
        raise mistake(
            path,
            f"cannot read the suffix {path.suffix!r}" if suffix else "has no suffix",
            expected=".npy, .npz, .csv or .txt",
            fix="name the file by its format",
        )
    array, more = (read_npy(path), {}) if suffix == ".npy" else _npz(path)
    flat = array.ndim == 2
    series = array[None] if flat else array
    lengths = _lengths(series.shape, more, path)
    if lengths is not None:
        after = np.arange(series.shape[1]) >= lengths[:, None]
        series = np.where(after[..., None], 0, series)  # what stands there is never read
    series = _checked(series, path)
    if lengths is not None:
        series = np.where(after[..., None], np.nan, series)[:, : lengths.max()]
    if columns is not None:
        series = series[..., _positions(columns, series.shape[-1], path)]
    return Numbers(path, series, tuple(columns or ()), flat, lengths)


@once
def read_tokens(path: Path) -> Tokens:
    """Read tokens from a .npy, or an .npz that may say where sequences end.

    Raises
    ------
    UserError
        If the file cannot be read, or holds anything but whole numbers from 0.
    """
    if path.suffix.lower() not in (".npy", ".npz"):
        raise mistake(path, "holds no tokens", expected=".npy or .npz", fix="remove embedding")
    array, more = (read_npy(path), {}) if path.suffix.lower() == ".npy" else _npz(path)
    shape = (1, *array.shape) if array.ndim == 1 else array.shape
    return checked_tokens(path, array, _lengths((*shape, 1), more, path))


def _checked(series: Array, path: Path) -> Array:
    if series.ndim != 3 or series.size == 0:
        raise mistake(
            path,
            f"the array is shaped {series.shape}",
            expected="(sequences, steps, features) or (steps, features), none of them 0",
            fix="reshape the array; one feature is a last axis of 1",
        )
    return finite(series, path, "the array", AXES)


def _positions(columns: Sequence[str], features: int, path: Path) -> list[int]:
    """Turn positions, as they are written, into numbers."""
    for name in columns:
        if not (name.isdecimal() and int(name) < features):
            raise mistake(
                path,
                f"there is no column {name!r}",
                expected=f"positions from 0 to {features - 1}: an array's columns have no names",
                fix="correct columns, under inputs",
            )
    return [int(name) for name in columns]


def _npz(path: Path) -> tuple[Array, dict[str, Array]]:
    """Return the one array or the one named x, and what says how long its sequences are."""
    found = read_npz(path, lambda there: _wanted(there, path))
    name = "x" if "x" in found else next(iter(found))
    return found.pop(name), found


def _wanted(there: list[str], path: Path) -> list[str]:
    if len(there) == 1:
        return there
    if "x" not in there:
        raise mistake(
            path,
            f"holds {len(there)} arrays, and none is named x" if there else "holds no arrays",
            expected="one array, or one named x",
            fix=f"rename one of {', '.join(sorted(there))} to x" if there else "save the data as x",
        )
    more = sorted({*there} - {"x", *OWN_LENGTHS})
    if more:
        raise mistake(
            path,
            f"holds {', '.join(more)} beside x, and nothing would come of it",
            expected="x, and lengths or mask where sequences end before the last step",
            fix="save x alone",
        )
    return there


def _lengths(shape: tuple[int, ...], more: dict[str, Array], path: Path) -> Array | None:
    """Where each sequence ends, by lengths or by a mask; None where all do at the last step."""
    found: dict[str, Array] = {}
    for name, array in more.items():
        wanted = shape[:1] if name == "lengths" else shape[:2]
        if len(shape) == 3 and array.shape != wanted:
            raise mistake(
                path,
                f"{name} is shaped {array.shape}",
                expected=f"{wanted}, as x is shaped {shape}",
                fix=f"correct {name}",
            )
        there = array.astype(bool)
        found[name] = array if name == "lengths" else there.sum(axis=-1)
        gaps = name == "mask" and (there[..., 1:] & ~there[..., :-1]).any(axis=-1)
        if np.any(gaps):
            raise mistake(
                path,
                f"mask has steps after a gap in sequence {int(np.argmax(gaps))}, counted from 0",
                expected="true from a sequence's first step to its last, false after it",
                fix="move each sequence to the front, and leave out what is masked within it",
            )
    each = list(found.values())
    if not each or len(shape) != 3:
        return None
    whole = (each[0] == each[0].astype(int)) & (each[0] >= 1) & (each[0] <= shape[1])
    if not whole.all() or (each[0] != each[-1]).any():
        problem = f"a sequence ends after {each[0][int(whole.argmin())]:g} of {shape[1]} steps"
        raise mistake(
            path,
            problem if not whole.all() else "lengths and mask do not agree",
            expected=f"whole numbers from 1 to {shape[1]}",
            fix=f"correct {' or '.join(found)}",
        )
    own = each[0].astype(int)
    return own if (own < shape[1]).any() else None


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"
