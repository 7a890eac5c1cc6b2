"""Files that are whole or not there, whoever else writes beside us and whenever we are stopped."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradflow.errors import UserError

__all__ = ["TEMPORARY", "locked", "write_atomic"]

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
    """Put `data` at `path` so that a reader sees the old file or the new one, never a part.

    The bytes go to a temporary name in the same folder, reach the disk, and are renamed. Whatever
    stops the writer, an exception or an interrupt, takes the temporary file away again.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
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
                "  fix: put the results on one that can, with --out DIR"
            ) from error
        yield
