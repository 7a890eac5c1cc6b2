"""Files are read once for as long as they stay as they are, however many points ask for them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from gradflow.experiment.data.reading import MAX_BYTES, opened

__all__ = ["checksum", "once"]

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
