"""Readers of plain archives: NumPy's .npz, and .safetensors."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.experiment.data.reading import npy_header, read_npz
from gradflow.experiment.models.tensors import (
    LETTERS,
    Tensor,
    Tensors,
    broken,
    decoded,
    unknown_type,
)

__all__ = ["npz", "safetensors"]

HEADER = 1 << 16
"""More than any header of an array of numbers needs."""


def npz(file: IO[bytes], path: Path) -> Tensors:
    """Read the arrays' headers; what holds no numbers has no shape, and is refused when taken."""
    try:
        with zipfile.ZipFile(file) as archive:
            return {
                member.filename.removesuffix(".npy"): _tensor(archive, member, path)
                for member in archive.infolist()
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise broken(path, ".npz file", str(error), "what numpy.savez writes") from error


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
