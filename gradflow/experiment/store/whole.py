"""Files that are whole or not there, whoever else writes beside us and whenever we are stopped.

Results are ordinary ``.npz`` files, the same bytes for the same numbers. An array lies in the file
under its quantity's name (``h``, ``c``, ``s``, …), its coordinates under ``name/axis``
(``h/step``), so that ``numpy.load`` opens them without gradflow. What NumPy's format cannot say,
the dims and the unit, stands in the member ``quantities.json``; which point it is, and what code
measured it, in ``point.json``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import secrets
import stat
import struct
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gradflow.core.quantity import Quantity, Result
from gradflow.core.typing import Array
from gradflow.errors import UserError

__all__ = [
    "LOCK",
    "TEMPORARY",
    "alone",
    "decode",
    "encode",
    "finished",
    "is_closed",
    "locked",
    "origin",
    "sealed",
    "unsealed",
    "whole_file",
    "write_atomic",
    "write_within",
]

LOCK = ".lock"
"""The file in a run's folder that its writers hold one after the other."""

TEMPORARY = ".tmp"
"""The suffix of a file that is still being written, or whose writer was killed."""

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def write_atomic(path: Path, data: bytes, *, synced: bool = True) -> None:
    """Put `data` at `path`, whole or not at all; see `whole_file`."""
    with whole_file(path, synced=synced) as place, place.open("wb") as file:
        file.write(data)


@contextmanager
def whole_file(path: Path, *, synced: bool = True) -> Iterator[Path]:
    """Give a place to write to that becomes `path` when all went well.

    A reader sees the old file or the new one, never a part: the bytes go to a temporary name in the
    same folder, reach the disk, and are renamed. Whatever stops the writer, an exception or an
    interrupt, takes the temporary file away again. A link stays a link and the file behind it keeps
    its mode; what is no regular file, a device or a pipe, is written into. What is not `synced` is
    as safe from whatever kills us, but a power cut may leave a part of it.

    Raises
    ------
    UserError
        If there is no folder for it: folders that nobody asked for are not made.
    """
    path = path.resolve()
    mode = path.stat().st_mode if path.exists() else None
    if mode is not None and not stat.S_ISREG(mode):
        yield path
        return
    if not path.parent.is_dir():
        raise UserError(f"{path.parent}: there is no such folder\n  fix: make it, or name another")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        yield temporary
        if synced:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(stat.S_IMODE(mode))
        temporary.replace(path)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = str(path)  # the name that the user knows
        with contextlib.suppress(OSError):  # nothing was made there, or nothing can be taken away
            temporary.unlink()
        raise


def finished(place: Path) -> list[Path]:
    """The ``.npz`` files of a folder, by name, but for those that are still being written."""
    return sorted(place.glob("[!.]*.npz"))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` alone; others wait. The system frees it when a process dies.

    Raises
    ------
    UserError
        If the file system knows no locks, as some network mounts do not.
    """
    with path.open("ab") as file:
        try:
            _lock(file.fileno())
        except OSError as error:
            raise UserError(
                f"{path.parent}: this file system cannot lock files ({error.strerror})\n"
                "  fix: put the results on one that can, with --results DIR"
            ) from error
        yield


def is_closed(folder: Path) -> bool:
    """Whether nothing can be written into a folder: a read-only file system, or no permission."""
    effective = os.access in os.supports_effective_ids
    return not os.access(folder, os.W_OK, effective_ids=effective)


def alone(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a run's folder; what cannot be written is only read, and needs none."""
    return contextlib.nullcontext() if is_closed(folder) else locked(folder / LOCK)


def write_within(path: Path, data: bytes) -> None:
    """Put `data` at `path`, which lies in a folder of a run's folder, while holding its lock.

    Whoever holds the lock next knows that what is half written there was left by the dead.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parents[1] / LOCK):
        write_atomic(path, data)


HEADER = "quantities.json"
ORIGIN = "point.json"
EPOCH = (1980, 1, 1, 0, 0, 0)  # zip's earliest time: the clock must not change the bytes


def encode(result: Result, origin: Mapping[str, Any]) -> bytes:
    """Return the bytes of a result and of where it came from; equal ones give equal bytes.

    Raises
    ------
    ValueError
        If an array holds Python objects, which could not be read back safely.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(HEADER, EPOCH), _header(result))
        archive.writestr(zipfile.ZipInfo(ORIGIN, EPOCH), json.dumps(origin, sort_keys=True))
        for name, array in _arrays(result):
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), _npy(array))
    return buffer.getvalue()


def _npy(array: Array) -> bytes:
    """The bytes of a ``.npy`` file; the headers of many points are the same, and made once."""
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise ValueError("an array of Python objects cannot be read back safely")
    return _npy_header(array.dtype, array.shape) + array.tobytes()


@lru_cache(maxsize=1024)
def _npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, header)
    return written.getvalue()


def decode(data: bytes) -> Result:
    """Return the result whose bytes these are: `encode`'s exact inverse.

    The members lie in the file as they are, and the layouts of many points are the same: arrays are
    views of the bytes, copied, and each layout is read once. `numpy.load` takes five times as long,
    which is all there is to reading a run of many small points.
    """
    whole = memoryview(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: _content(whole, info) for info in archive.infolist()}
    return {
        key: Quantity(
            name=entry["name"],
            dims=tuple(entry["dims"]),
            values=_array(members[f"{key}.npy"]),
            coords={axis: _array(members[f"{key}/{axis}.npy"]) for axis in entry["coords"]},
            unit=entry["unit"],
        )
        for key, entry in json.loads(bytes(members[HEADER])).items()
    }


def _content(whole: memoryview, info: zipfile.ZipInfo) -> memoryview:
    """A stored member: it follows its name and its extra field, whose sizes are in its header."""
    sizes = struct.unpack_from("<HH", whole, info.header_offset + 26)
    start = info.header_offset + 30 + sum(sizes)
    return whole[start : start + info.file_size]


def _array(npy: memoryview) -> Array:
    """The array of a ``.npy`` file: magic, version 1.0, the header's size, the header, values."""
    begin = 10 + int.from_bytes(npy[8:10], "little")
    shape, by_columns, dtype = _layout(bytes(npy[8:begin]))
    order: Literal["F", "C"] = "F" if by_columns else "C"
    return np.ndarray(shape, dtype, buffer=npy, offset=begin, order=order).copy()


@lru_cache(maxsize=1024)
def _layout(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    return np.lib.format.read_array_header_1_0(io.BytesIO(header))


def origin(data: bytes) -> Any:
    """Return what `encode` was told of the origin; every member's own checksum is verified.

    Raises
    ------
    ValueError
        If these are not the bytes of a whole result.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.testzip() is None:
                return json.loads(archive.read(ORIGIN))
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, NotImplementedError) as error:
        raise ValueError(f"not a whole result ({error})") from error
    raise ValueError("not a whole result")


def sealed(data: bytes) -> bytes:
    """Put a checksum behind some bytes, for a file that no index names."""
    return data + hashlib.sha256(data).digest()


def unsealed(data: bytes) -> bytes:
    """Return what `sealed` was given.

    Raises
    ------
    ValueError
        If these are other bytes.
    """
    size = hashlib.sha256().digest_size
    if sealed(data[:-size]) != data:
        raise ValueError("its SHA-256 is not the one at its end")
    return data[:-size]


def _header(result: Result) -> str:
    return json.dumps(
        {
            key: {
                "name": quantity.name,
                "dims": quantity.dims,
                "unit": quantity.unit,
                "coords": list(quantity.coords),
            }
            for key, quantity in result.items()
        }
    )


def _arrays(result: Result) -> Iterator[tuple[str, Array]]:
    for key, quantity in result.items():
        yield key, quantity.values
        for axis, labels in quantity.coords.items():
            yield f"{key}/{axis}", labels
