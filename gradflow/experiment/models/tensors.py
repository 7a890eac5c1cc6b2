"""What every reader gives: the tensors of a file by name, none read before it is taken.

The plainest readers stand here, too: NumPy's .npz, and .safetensors. Where the names are not
PyTorch's, `mappings` guesses from shapes which they may be.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

import numpy as np

from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.experiment.data.reading import (
    MAX_BYTES,
    UNSOUND,
    finite,
    mistake,
    npy_header,
    read_npz,
    too_large,
)

__all__ = [
    "LETTERS", "Tensor", "Tensors", "broken", "decoded", "flat", "mappings", "npz",
    "safetensors", "take", "unknown_type",
]  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A tensor that lies in an open file.

    Parameters
    ----------
    shape : tuple of int
        Its shape, as the file's header says.
    load : callable
        Reads it, as long as the file is open.
    """

    shape: tuple[int, ...]
    load: Callable[[], Array]


Tensors: TypeAlias = Mapping[str, Tensor]

LETTERS = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "u2"}
"""The types that weights come in, in the letters of NumPy."""


def decoded(data: bytes, dtype: str, order: str = "<") -> Array:
    """Numbers from bytes in one of the types of `LETTERS`; BF16, half a float32, is widened."""
    array = np.frombuffer(data, order + LETTERS[dtype])
    return (array.astype("<u4") << 16).view("<f4") if dtype == "BF16" else array


def take(tensors: Tensors, names: Iterable[str], path: Path) -> dict[str, Array]:
    """Read tensors in float64.

    Raises
    ------
    UserError
        If they are too many bytes, or hold what is not finite.
    """
    chosen = {name: tensors[name] for name in names}
    total = sum(8 * math.prod(tensor.shape) for tensor in chosen.values())
    if total > MAX_BYTES:
        raise too_large(path, total)
    return {
        name: finite(tensor.load(), path, name).astype(np.float64)
        for name, tensor in chosen.items()
    }


def pair(
    tensors: Tensors, path: Path, weight: str, bias: str | None = None, *, turned: bool = False
) -> tuple[Array, Array | None]:
    """Read a matrix, `turned` if its rows are the inputs, and the bias beside it."""
    read = take(tensors, [weight, *([bias] if bias is not None else [])], path)
    return read[weight].T if turned else read[weight], read.get(bias) if bias else None


def flat(text: str, most: int = 60) -> str:
    """A text from a file in one line without control characters, cut where it is long."""
    shown = "".join(c if c.isprintable() else "?" for c in text[: most + 1])
    return shown if len(shown) <= most else shown[:most] + "…"


def broken(path: Path, what: str, problem: str, expected: str) -> Exception:
    """Return the error for a file that contradicts itself or is cut short."""
    return mistake(
        path,
        f"not a sound {what}: {problem}",
        expected=expected,
        fix="write the file again; a copy or a download may have been cut short",
    )


def unknown_type(path: Path, name: str, dtype: str) -> Exception:
    """Return the error for a tensor that holds no weights."""
    return mistake(
        path,
        f"{name} is of type {flat(dtype)}",
        expected=", ".join(LETTERS),
        fix="convert the tensor, e.g. with .float(), before saving it",
    )


RATIOS = (1, 3, 4)
"""Rows for each unit of an RNN, a GRU and an LSTM."""


def mappings(shapes: Mapping[str, tuple[int, ...]]) -> list[dict[str, str]]:
    """Return what may be meant by PyTorch's names of one layer, for each net that may be there.

    W is a matrix with 1, 3 or 4 times as many rows as columns; U and the biases are those tensors
    with as many rows whose names are most like its own.
    """
    found = []
    for name, shape in shapes.items():
        if len(shape) != 2 or shape[1] < 1 or shape[0] % shape[1] or "hh" not in name.lower():
            continue
        if shape[0] // shape[1] not in RATIOS:
            continue
        U = _twin(name, [n for n, s in shapes.items() if len(s) == 2 and s[0] == shape[0]])
        vectors = [n for n, s in shapes.items() if s == (shape[0],)]
        names = {"weight_ih_l0": U, "weight_hh_l0": name}
        if vectors:
            b_hh = max(vectors, key=lambda n: SequenceMatcher(None, n, name).ratio())
            names |= {"bias_ih_l0": _twin(b_hh, vectors), "bias_hh_l0": b_hh}
        if all(names.values()):
            found.append({ours: flat(theirs) for ours, theirs in names.items() if theirs})
    return found


def _twin(name: str, there: list[str]) -> str | None:
    """The name that says ih where this one says hh."""
    twin = name.replace("hh", "ih").replace("HH", "IH")
    return twin if twin in there and twin != name else None


HEADER = 1 << 16
"""More than any header of an array of numbers needs."""


def npz(file: IO[bytes], path: Path) -> Tensors:
    """Read the arrays' headers; what holds no numbers has no shape, and is refused when taken."""
    try:
        with zipfile.ZipFile(file) as archive:
            found = {
                member.filename.removesuffix(".npy"): _tensor(archive, member, path)
                for member in archive.infolist()
            }
            hides = any(member.comment for member in archive.infolist())
    except UNSOUND as error:
        raise broken(path, ".npz file", str(error), "what numpy.savez writes") from error
    if hides:  # a comment of wrong length swallows the entries behind it
        raise broken(path, ".npz file", "an array has a comment", "what numpy.savez writes")
    return found


def _tensor(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Tensor:
    name = member.filename.removesuffix(".npy")
    with archive.open(member) as file:
        start = io.BytesIO(file.read(HEADER))
    try:
        shape, _, dtype = npy_header(start, path, name)
    except UserError:
        shape, dtype = (), None
    if dtype is None or dtype.kind not in "biuf":
        shape = ()
    return Tensor(shape, partial(_load, path, name))


def _load(path: Path, name: str) -> Array:
    return read_npz(path, lambda _: [name])[name]


MAX_HEADER = 1 << 24


class Entry(NamedTuple):
    """Where one tensor lies, counted from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def safetensors(file: IO[bytes], path: Path) -> Tensors:
    """Read the header; BF16 becomes float32.

    Raises
    ------
    UserError
        If the file is cut short or contradicts itself; later, if a tensor that is taken has
        another type than F64, F32, F16 or BF16.
    """
    size = path.stat().st_size
    header, start = _header(file, path, size)
    entries = {name: _entry(name, entry, path) for name, entry in header.items()}
    _without_gaps(entries, size - start, path)
    return {
        name: Tensor(entry.shape, partial(_numbers, file, name, entry, start, path))
        for name, entry in entries.items()
    }


def _broken(path: Path, problem: str) -> Exception:
    expected = "what safetensors.torch.save_file writes"
    return broken(path, ".safetensors file", problem, expected)


def _header(file: IO[bytes], path: Path, size: int) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, MAX_HEADER):
        raise _broken(path, f"a header of {length:,} bytes in a file of {size:,}")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"the header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise _broken(path, "the header is not a mapping")
    header.pop("__metadata__", None)
    return header, 8 + length


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError("a name stands twice")
    return mapping


def _entry(name: str, entry: Any, path: Path) -> Entry:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [*shape, begin, end]
    except (TypeError, KeyError, ValueError):
        raise _broken(path, f"{name} lacks a dtype, a shape or data_offsets") from None
    if type(dtype) is not str or any(type(n) is not int or n < 0 for n in numbers):
        raise _broken(path, f"{name} has a dtype, shape or data_offsets of the wrong type")
    if dtype in LETTERS and end - begin != math.prod(shape) * np.dtype(LETTERS[dtype]).itemsize:
        raise _broken(path, f"{name} is {dtype} shaped {shape}, but has {end - begin:,} bytes")
    return Entry(dtype, tuple(shape), begin, end)


def _without_gaps(entries: dict[str, Entry], size: int, path: Path) -> None:
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.begin != at or entry.end < at:
            raise _broken(path, f"{name} lies at {entry.begin:,}..{entry.end:,}, not from {at:,}")
        at = entry.end
    if at != size:
        raise _broken(path, f"{size:,} bytes of data where the header says {at:,}")


def _numbers(file: IO[bytes], name: str, entry: Entry, start: int, path: Path) -> Array:
    if entry.dtype not in LETTERS:
        raise unknown_type(path, name, entry.dtype)
    file.seek(start + entry.begin)
    return decoded(file.read(entry.end - entry.begin), entry.dtype).reshape(entry.shape)
