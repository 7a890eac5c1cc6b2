"""Where inputs come from: a generator, the digits, or a file."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from gradflow.core import inputs
from gradflow.core.inputs import Batch, TargetKind, Task, series_stream, symbol_stream
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

__all__ = ["load", "names", "target_kind", "task"]

AXES = ("sequence", "step", "feature")


def load(config: Any, steps: int | None, seed: int) -> Batch:
    """Return the inputs that the section ``inputs`` of an experiment describes.

    Parameters
    ----------
    config : object
        With ``kind``, ``sequences`` and that kind's options as attributes. For a file
        ``sequences`` may be None: all there are, or a text in one piece.
    steps : int or None
        The length; None is all of the digits or of a file.
    seed : int
        The seed of the data; digits and files need none.

    Raises
    ------
    UserError
        If the file is wrong, or options and length do not fit the kind.
    """
    source = task(config.kind)
    if steps is None and config.kind in inputs.names():
        raise UserError(
            f"inputs: {config.kind} has no length of its own\n  fix: say `length: 128`, or sweep it"
        )
    options = {name: getattr(config, name) for name in source.options}
    try:
        return source.generate(steps, config.sequences, seed, **options)
    except ValueError as error:
        raise UserError(f"inputs: {error}") from error


def names() -> tuple[str, ...]:
    """Every kind of inputs."""
    return (*inputs.names(), *FILED)


def task(kind: str) -> Task:
    """Return what is known of a kind of inputs before any are drawn or read."""
    return FILED[kind] if kind in FILED else inputs.get(kind)


def target_kind(config: Any) -> TargetKind:
    """Tell which targets the inputs will have; a text's are classes, other files' are values."""
    if config.kind == "file" and Path(config.path).suffix.lower() == ".txt":
        return "classes"
    return task(config.kind).target_kind


@cache
def _images() -> Array:
    """Pixels of the digits, (images, 64) in [0, 1], in an order that never changes."""
    with files("gradflow.experiment.data").joinpath("digits.npz").open("rb") as file:
        images = np.load(file, allow_pickle=False)["images"]
    order = stream(0, "inputs", "digits").permutation(len(images))
    return np.asarray(images[order].reshape(len(images), -1) / 16)


def digits(steps: int | None, sequences: int | None, seed: int) -> Batch:
    """Read hand-written digits pixel by pixel, image after image; the target is the next pixel.

    Sequence j of n starts at image j · ⌊1797/n⌋ and goes round, so that up to 115,008 steps are
    real data (E. Alpaydin and C. Kaynak 1998, doi:10.24432/C50P49). The seed changes nothing.
    """
    images = _images()
    steps = images.size if steps is None else steps
    sequences = sequences or 1
    if steps > images.size:
        raise ValueError(f"digits have {images.size} steps, fewer than the length {steps}")
    if sequences > len(images):
        raise ValueError(f"digits have {len(images)} images to start at, not {sequences}")
    apart = len(images) // sequences * images.shape[1]
    at = np.arange(sequences)[:, None] * apart + np.arange(steps + 1)
    return series_stream(images.take(at, mode="wrap")[..., None], steps)


def read_file(steps: int | None, sequences: int | None, seed: int, *, path: str | Path) -> Batch:
    """Read series of numbers (.npy, .npz, .csv) or one-hot characters (.txt) from a file.

    Numbers are shaped (sequences, steps, features), or (steps, features) for one sequence. A text
    is cut into `sequences` pieces of equal length, what is left over dropped; its alphabet is all
    characters in it, sorted. The targets are the next step or character. The seed changes nothing.
    """
    path = Path(path)
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

FILED = {
    "digits": Task("digits", digits, "values", prefix=True),
    "file": Task("file", read_file, "values", prefix=True),
}
"""Kinds of inputs that are read rather than drawn."""
