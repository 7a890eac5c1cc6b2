"""Reading a user's files: bounded in size, without running anything in them, every mistake told.

A file is read once for as long as it stays as it is, however many points ask for it.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import math
import tokenize
import warnings
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import IO, Any, Concatenate, ParamSpec, TypeAlias, TypeVar

import numpy as np

from gradflow.core.typing import Array
from gradflow.errors import UserError

__all__ = [
    "MAX_BYTES",
    "UNSOUND",
    "Choose",
    "checksum",
    "enough",
    "finite",
    "mistake",
    "npy_array",
    "npy_header",
    "once",
    "opened",
    "read_npy",
    "read_npz",
    "read_text",
    "too_large",
]  # fmt: skip

MAX_BYTES = 1 << 30
"""The most that is read from one file, unpacked: 1 GiB."""

Choose: TypeAlias = Callable[[list[str]], Iterable[str]]
"""Picks the arrays to read from the names that a file holds."""

HEADER = 10_000
"""Bytes of an array's header at most, as NumPy has it."""

UNSOUND = zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, UnicodeDecodeError
"""What a damaged archive raises where it is read."""

PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def mistake(path: Path, problem: str, *, expected: str = "", fix: str = "") -> UserError:
    """Return the error that a wrong file ends in: where, what, what was expected, the fix."""
    notes = [("expected", expected), ("fix", fix)]
    return UserError(f"{path}: {problem}" + "".join(f"\n  {k}: {v}" for k, v in notes if v))


@contextmanager
def opened(path: Path, most: int | None = MAX_BYTES) -> Iterator[IO[bytes]]:
    """Open a file that is there, may be read, is not empty and holds at most `most` bytes.

    Raises
    ------
    UserError
        If it is not so.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would wait for ever
        raise mistake(path, "is no regular file", fix="save the data into a file, and name that")
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise mistake(path, "there is no such file", fix=_nearest(path)) from None
    except OSError as error:
        raise mistake(
            path, f"cannot be read ({error.strerror})", fix="name a file that you may read"
        ) from error
    with file:
        size = path.stat().st_size
        if size == 0:
            raise mistake(path, "the file is empty", fix="write the data again")
        if most is not None and size > most:
            raise too_large(path, size)
        yield file


def too_large(path: Path, size: int) -> UserError:
    """Return the error for a file, or what unpacks from it, of more bytes than are read."""
    return mistake(
        path,
        f"{size:,} bytes are too many",
        expected=f"at most {MAX_BYTES:,} bytes, unpacked",
        fix="keep fewer sequences or steps in the file",
    )


def _nearest(path: Path) -> str:
    there = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, there, 1)
    return f"did you mean {close[0]}?" if close else "check the path"


def read_text(path: Path) -> str:
    """Return a file's text, which has to be UTF-8; a byte order mark is dropped."""
    with opened(path) as file:
        data = file.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise mistake(
            path,
            f"line {line} holds the byte 0x{data[error.start]:02x}, which is not UTF-8",
            expected="text in UTF-8",
            fix="save the file in UTF-8",
        ) from error


def read_npy(path: Path) -> Array:
    """Read one array of real numbers from a .npy file."""
    with opened(path) as file:
        return npy_array(file, path)


def read_npz(path: Path, choose: Choose) -> dict[str, Array]:
    """Read those arrays of a .npz file that `choose` picks from the names there are."""
    with opened(path, most=None) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                found = {}
                for name, member in _members(archive, choose, path).items():
                    with archive.open(member) as packed:
                        found[name] = npy_array(packed, path, f"{name}: ", member.file_size)
                return found
        except UNSOUND as error:
            raise mistake(
                path,
                f"not a whole .npz file ({error})",
                expected="what numpy.savez writes",
                fix="write the file again; a download may have been cut short",
            ) from error


def _members(archive: zipfile.ZipFile, choose: Choose, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Find the chosen arrays, and see that they are packed as NumPy does and not too large."""
    there = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    chosen = {name: there[name] for name in choose(list(there))}
    if any(member.compress_type not in PACKED for member in chosen.values()):
        raise zipfile.BadZipFile("packed in a way that NumPy does not write")
    size = sum(member.file_size for member in chosen.values())
    if size > MAX_BYTES:
        raise too_large(path, size)
    return chosen


def npy_array(file: IO[bytes], path: Path, name: str = "", whole: int | None = None) -> Array:
    """Read an array; of a packed one never more is unpacked than `whole`, what it says it holds."""
    shape, order, dtype = npy_header(file, path, name)
    if dtype.hasobject:
        raise mistake(
            path,
            f"{name}holds Python objects, which gradflow does not load: they can run code",
            expected="an array of numbers",
            fix="save a plain array, e.g. numpy.asarray(data, dtype=float)",
        )
    if dtype.kind not in "biuf":
        raise mistake(
            path,
            f"{name}holds {dtype.name}",
            expected="real numbers, integers or floats",
            fix="convert the array before saving it",
        )
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES:
        raise too_large(path, size)
    data = file.read(size if whole is None else min(size, whole))
    if whole is not None and file.read(1):  # to its end, where the checksum is tested
        raise zipfile.BadZipFile(f"{name}more bytes than the array has")
    if len(data) < size:
        raise mistake(
            path,
            f"{name}ends after {len(data):,} of {size:,} bytes",
            fix="write the file again; a copy or a download may have been cut short",
        )
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def npy_header(
    file: IO[bytes], path: Path, name: str
) -> tuple[tuple[int, ...], Any, np.dtype[Any]]:
    """Read an array's header: its shape, the order of its axes, its type."""
    try:
        version = np.lib.format.read_magic(file)
        count = file.read(2 if version == (1, 0) else 4)
        text = file.read(min(int.from_bytes(count, "little"), HEADER))
        with warnings.catch_warnings():  # of what Python 2 wrote, (3L, 2L), and of odd escapes
            warnings.simplefilter("ignore")
            shape, fortran, dtype = NPY_HEADERS[version](io.BytesIO(count + text))
        if min(shape, default=0) < 0:
            raise ValueError(f"the shape {shape}")  # noqa: TRY301  # told like any other
    except (ValueError, KeyError, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise mistake(
            path,
            f"{name}not an array in NumPy's format",
            expected="what numpy.save or numpy.savez writes",
            fix="write the file again from NumPy",
        ) from error
    return shape, "F" if fortran else "C", dtype


def enough(path: Path, what: str, available: int, asked: int | None, key: str) -> None:
    """Refuse a file that has fewer of something than are asked for; None asks for all."""
    if asked is not None and asked > available:
        raise mistake(
            path,
            f"has {available} {what}, fewer than the {asked} asked for",
            fix=f"set `{key}` to at most {available}",
        )


def finite(array: Array, path: Path, name: str, axes: tuple[str, ...] = ()) -> Array:
    """Return the array if every number is finite; the message places the first that is not."""
    if array.dtype.itemsize > np.dtype(np.float64).itemsize:
        with np.errstate(over="ignore"):  # beyond float64 is infinite, and then refused
            array = array.astype(np.float64)
    ok = np.isfinite(array)
    if not ok.all():
        where = np.unravel_index(int(ok.argmin()), array.shape)
        labels = [f"{axis} {k}" for axis, k in zip(axes, where, strict=bool(axes))]
        place = ", ".join(labels) or f"index {tuple(map(int, where))}"
        raise mistake(
            path,
            f"{name} is {array[where]} at {place}, counted from 0",
            expected="finite numbers",
            fix="remove or fill in what is missing",
        )
    return array


P = ParamSpec("P")
T = TypeVar("T")

_SHELF: OrderedDict[tuple[Any, ...], tuple[int, Any]] = OrderedDict()
"""What was read, with the size of its file: the last of it, and no more than one file may hold."""


def once(read: Callable[Concatenate[Path, P], T]) -> Callable[Concatenate[Path, P], T]:
    """Let a reader read a file once; what it gives is shared, so nothing may write into it."""

    @wraps(read)
    def kept(path: Path, /, *args: P.args, **options: P.kwargs) -> T:
        try:
            status = path.stat()
        except OSError:
            return read(path, *args, **options)  # which says what is wrong
        stamp = status.st_mtime_ns, status.st_size, status.st_ino
        key = (read, str(path), stamp, repr((args, options)))
        if key not in _SHELF:
            _SHELF[key] = status.st_size, read(path, *args, **options)
            while len(_SHELF) > 1 and sum(size for size, _ in _SHELF.values()) > MAX_BYTES:
                _SHELF.popitem(last=False)
        value: T = _SHELF[key][1]
        return value

    return kept


@once
def _checksum(path: Path) -> str:
    with opened(path, most=None) as file:
        content: Any = file  # of which the digest wants to know that it is a file
        return hashlib.file_digest(content, "sha256").hexdigest()


def checksum(path: str | Path) -> str:
    """Return the SHA-256 of a file's content."""
    return _checksum(Path(path))
