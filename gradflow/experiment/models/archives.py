"""A reader for .npz files: zip archives of arrays in NumPy's format."""

from __future__ import annotations

import io
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import IO

from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.experiment.data.reading import npy_header, read_npz
from gradflow.experiment.models.tensors import Tensor, Tensors, broken

__all__ = ["npz"]

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
