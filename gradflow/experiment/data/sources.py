"""Where inputs come from: a generator, the digits, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from gradflow.core.inputs import TASKS, Batch, TargetKind, Task, series_stream, symbol_stream
from gradflow.core.random import stream
from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.experiment.data.delimited import read_csv
from gradflow.experiment.data.reading import (
    MAX_BYTES,
    finite,
    mistake,
    read_npy,
    read_npz,
    read_text,
)

__all__ = ["TASKS", "load"]

AXES = ("sequence", "step", "feature")


def load(config: Any, steps: int | None, seed: int) -> Batch:
    """Return the inputs that the section ``inputs`` of an experiment describes.

    Parameters
    ----------
    config : Inputs
        The section. For a file ``sequences`` may be None: all there are, or a text in one piece.
    steps : int or None
        The length; None is all there is.
    seed : int
        The seed of the data; digits and files need none.

    Raises
    ------
    UserError
        If the file is wrong, or options and length do not fit the kind.
    """
    try:
        if config.kind == "file":
            return read_file(Path(config.path), steps, config.sequences)
        task: Task = config.task
        steps = task.longest if steps is None else steps
        if steps is None:
            raise UserError(
                f"inputs: {config.kind} has no length of its own\n"
                "  fix: say `length: 128`, or sweep it"
            )
        return task.draw(steps, config.sequences, seed)
    except ValueError as error:
        raise UserError(f"inputs: {error}") from error


@cache
def _images() -> Array:
    """Pixels of the digits, (images, 64) in [0, 1], in an order that never changes."""
    with files("gradflow.experiment.data").joinpath("digits.npz").open("rb") as file:
        images = np.load(file, allow_pickle=False)["images"]
    order = stream(0, "inputs", "digits").permutation(len(images))
    return np.asarray(images[order].reshape(len(images), -1) / 16)


@dataclass(frozen=True)
class Digits(Task):
    """Read hand-written digits pixel by pixel, image after image; the target is the next pixel.

    Sequence j of n starts at image j · ⌊1797/n⌋ and goes round, so that up to 115,008 steps are
    real data (E. Alpaydin and C. Kaynak 1998, doi:10.24432/C50P49). The seed changes nothing.
    """

    kind = "digits"
    target_kind = "values"
    prefix = True
    features = 1
    longest = 1797 * 64
    most = 1797

    def draw(self, steps: int, sequences: int, seed: int) -> Batch:
        """Read ``x`` (steps, 1, 1, sequences), in [0, 1]."""
        images = _images()
        if steps > images.size:
            raise ValueError(f"digits have {images.size} steps, fewer than the length {steps}")
        if sequences > len(images):
            raise ValueError(f"digits have {len(images)} images to start at, not {sequences}")
        apart = len(images) // sequences * images.shape[1]
        at = np.arange(sequences)[:, None] * apart + np.arange(steps + 1)
        return series_stream(images.take(at, mode="wrap")[..., None], steps)


TASKS.add(Digits)


@dataclass(frozen=True)
class File(Task):
    """A user's file; the targets are the next step or character.

    Parameters
    ----------
    path : str
        Where it is.
    features, longest : int
        What it holds, 0 before it is read.
    """

    kind = "file"
    prefix = True

    path: str
    features: int = 0
    longest: int = 0

    @property
    def target_kind(self) -> TargetKind:  # type: ignore[override]  # the suffix decides
        """A text's are classes, other files' are values."""
        return "classes" if self.path.lower().endswith(".txt") else "values"

    def draw(self, steps: int, sequences: int, seed: int) -> Batch:
        """Read the first sequences and steps."""
        return read_file(Path(self.path), steps, sequences)


def read_file(path: Path, steps: int | None, sequences: int | None) -> Batch:
    """Read series of numbers (.npy, .npz, .csv) or one-hot characters (.txt) from a file.

    Numbers are shaped (sequences, steps, features), or (steps, features) for one sequence. A text
    is cut into `sequences` pieces of equal length, what is left over dropped; its alphabet is all
    characters in it, sorted. The targets are the next step or character.
    """
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return _text(path, steps, sequences or 1)
    if suffix not in READERS:
        raise mistake(
            path,
            f"cannot read the suffix {path.suffix!r}" if suffix else "has no suffix",
            expected=".npy, .npz, .csv or .txt",
            fix="name the file by its format",
        )
    series = READERS[suffix](path)
    if series.ndim == 2:
        series = series[None]
    if series.ndim != 3 or series.size == 0:
        raise mistake(
            path,
            f"the array is shaped {series.shape}",
            expected="(sequences, steps, features) or (steps, features), none of them 0",
            fix="reshape the array; one feature is a last axis of 1",
        )
    series = finite(series, path, "the array", AXES)
    available, total, _ = series.shape
    _enough(path, "sequences", available, sequences, "inputs.sequences")
    _enough(path, "steps", total, steps, "length")
    return series_stream(series[:sequences], steps)


def _enough(path: Path, what: str, available: int, asked: int | None, key: str) -> None:
    if asked is not None and asked > available:
        raise mistake(
            path,
            f"has {available} {what}, fewer than the {asked} asked for",
            fix=f"set `{key}` to at most {available}",
        )


def _npz(path: Path) -> Array:
    (array,) = read_npz(path, lambda there: [_only(there, path)]).values()
    return array


def _only(there: list[str], path: Path) -> str:
    if len(there) == 1:
        return there[0]
    if "x" in there:
        return "x"
    raise mistake(
        path,
        f"holds {len(there)} arrays, and none is named x" if there else "holds no arrays",
        expected="one array, or one named x",
        fix=f"rename one of {', '.join(sorted(there))} to x" if there else "save the data as x",
    )


def _text(path: Path, steps: int | None, sequences: int) -> Batch:
    characters = np.frombuffer(read_text(path).encode("utf-32-le"), "<u4")
    alphabet, codes = np.unique(characters, return_inverse=True)
    piece = len(codes) // sequences
    each = "steps" if sequences == 1 else f"steps in each of {sequences} pieces"
    _enough(path, each, piece, steps or 1, "length")
    steps = piece if steps is None else steps
    size = 8 * steps * sequences * len(alphabet)
    if size > MAX_BYTES:
        raise mistake(
            path,
            f"{len(alphabet)} characters, one-hot, need {size:,} bytes at {steps} steps",
            expected=f"at most {MAX_BYTES:,} bytes",
            fix="set a smaller `length` or `inputs.sequences`",
        )
    pieces = codes[: sequences * piece].reshape(sequences, piece)
    return symbol_stream(pieces, len(alphabet), steps)


READERS = {".npy": read_npy, ".npz": _npz, ".csv": read_csv}
