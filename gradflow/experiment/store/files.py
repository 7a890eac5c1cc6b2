"""Files that are whole or not there, whoever else writes beside us and whenever we are stopped."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradflow.errors import UserError

__all__ = ["TEMPORARY", "locked", "whole", "write_atomic"]

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


def write_atomic(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all; see `whole`."""
    with whole(path) as place, place.open("wb") as file:
        file.write(data)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a place to write to that becomes `path` when all went well.

    A reader sees the old file or the new one, never a part: the bytes go to a temporary name in the
    same folder, reach the disk, and are renamed. Whatever stops the writer, an exception or an
    interrupt, takes the temporary file away again. A link stays a link and the file behind it keeps
    its mode; what is no regular file, a device or a pipe, is written into.

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
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(stat.S_IMODE(mode))
        temporary.replace(path)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = str(path)  # the name that the user knows
        temporary.unlink(missing_ok=True)
        raise


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
