"""A reader for .safetensors files.

The format: 8 bytes with the length of a header, little-endian; the header in JSON, which gives
``dtype``, ``shape`` and ``data_offsets`` (begin, end) of each tensor; the tensors' bytes, without
gaps.
Every number in the header is checked before it is used.
"""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from gradflow.core.typing import Array
from gradflow.experiment.models.tensors import (
    LETTERS,
    Tensor,
    Tensors,
    broken,
    decoded,
    unknown_type,
)

__all__ = ["safetensors"]

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
        name: Tensor(entry.shape, partial(_tensor, file, name, entry, start, path))
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


def _tensor(file: IO[bytes], name: str, entry: Entry, start: int, path: Path) -> Array:
    if entry.dtype not in LETTERS:
        raise unknown_type(path, name, entry.dtype)
    file.seek(start + entry.begin)
    return decoded(file.read(entry.end - entry.begin), entry.dtype).reshape(entry.shape)
