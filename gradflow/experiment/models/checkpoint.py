"""A reader for what ``torch.save`` writes, without torch and without running anything.

The zip format (since PyTorch 1.6) holds a pickle, ``data.pkl``, and the bytes of every storage in a
file of its own, ``data/KEY``; TorchScript's archives have the same parts. The older format is a row
of pickles (a magic number, a version, the system, the object, the storages' keys), then for each
storage the number of its elements and its bytes. A tensor is a view of a storage: offset, shape
and strides, all of which are checked before anything is read.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from gradflow.core.typing import Array
from gradflow.experiment.data.reading import MAX_BYTES, UNSOUND, mistake, too_large
from gradflow.experiment.models.pickles import Dead, Maker, unpickle, walk
from gradflow.experiment.models.tensors import (
    LETTERS,
    Tensor,
    Tensors,
    broken,
    decoded,
    unknown_type,
)

__all__ = ["checkpoint"]

MAX_PICKLE = 1 << 26
MAX_AXES = 16
MAGIC = 0x1950A86A20F9469CFC6C

TYPES = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
}  # fmt: skip
SIZES = {
    "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1,
    "BoolStorage": 1, "UntypedStorage": 1, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
    "QInt8Storage": 1, "QUInt8Storage": 1, "QInt32Storage": 4,
    **{storage: np.dtype(LETTERS[letters]).itemsize for storage, letters in TYPES.items()},
}  # fmt: skip
"""Bytes of an element."""


@dataclass(frozen=True)
class Storage:
    """A storage that the pickle refers to."""

    kind: str
    key: str
    elements: int


@dataclass(frozen=True)
class View:
    """A tensor: which part of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


class Storages:
    """The bytes of the storages: each is read once, all together `MAX_BYTES` at most."""

    def __init__(
        self, path: Path, sizes: Mapping[str, int], fetch: Callable[[str], bytes], *, big: bool
    ) -> None:
        self.path, self.sizes, self.order = path, sizes, ">" if big else "<"
        self._fetch, self._there = fetch, dict[str, bytes]()

    def read(self, key: str) -> bytes:
        """Read a storage."""
        if key not in self._there:
            total = sum(map(len, self._there.values())) + self.sizes[key]
            if total > MAX_BYTES:
                raise too_large(self.path, total)
            self._there[key] = self._fetch(key)
        return self._there[key]


def checkpoint(file: IO[bytes], path: Path) -> tuple[Tensors, dict[str, str]]:
    """Read what the file describes: its tensors, and the texts that stand beside them.

    Raises
    ------
    UserError
        If the file is cut short, contradicts itself, or would take too much to read.
    """
    start = file.read(2)
    file.seek(0)
    if start == b"PK":
        root, source = _zipped(file, path)
    elif start[:1] == b"\x80":
        root, source = _row_of_pickles(file, path)
    else:
        raise _broken(path, "it begins like no file of PyTorch")
    tensors: dict[str, Tensor] = {}
    texts: dict[str, str] = {}
    for keys, found in walk(root, View):
        name = ".".join(keys)
        if isinstance(found, str):
            texts[name] = found
        else:
            tensors.setdefault(name, Tensor(found.shape, partial(_tensor, source, name, found)))
    return tensors, texts


def _broken(path: Path, problem: str) -> Exception:
    return broken(path, "checkpoint of PyTorch", problem, "what torch.save writes")


def _pickle(file: IO[bytes], path: Path, persistent: Callable[[Any], Any] | None = None) -> Any:
    try:
        return unpickle(file, MAKERS, persistent)
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"its pickle is not ({error})") from error


# --- what is made ----------------------------------------------------------------------------


def _storage(pid: Any) -> Storage:
    """Read a persistent id: ("storage", type, key, location, elements), the older one has more."""
    tag, kind, key, _, elements, *view = pid
    if tag != "storage" or not isinstance(kind, Dead) or any(part is not None for part in view):
        raise ValueError("a storage of an unknown kind")
    if type(elements) is not int or elements < 0 or not isinstance(key, str):
        raise ValueError("a storage of an impossible size")
    return Storage(kind.name.rpartition(".")[2], key, elements)


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Any:
    """Make what ``torch._utils._rebuild_tensor_v2`` makes, if it lies inside its storage."""
    if not isinstance(storage, Storage):
        return Dead("a tensor of something else")
    numbers = [offset, *shape, *strides]
    odd = len(shape) > MAX_AXES or any(type(n) is not int or not 0 <= n < 1 << 62 for n in numbers)
    if odd or len(shape) != len(strides):
        raise ValueError("a tensor with an impossible shape, stride or offset")
    kind = rest[2].name.rpartition(".")[2] if len(rest) > 2 and _is_type(rest[2]) else storage.kind
    elements = storage.elements * SIZES.get(storage.kind, 1) // SIZES.get(kind, 1)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if math.prod(shape) and (last >= elements or math.prod(shape) > elements):
        raise ValueError(f"a tensor shaped {shape} beyond its storage of {elements:,} elements")
    return View(storage, offset, tuple(shape), tuple(strides), kind)


def _is_type(value: Any) -> bool:
    return isinstance(value, Dead) and value.name.startswith("torch.")


MAKERS: dict[str, Maker] = {
    "collections.OrderedDict": lambda pairs=(): {str(key): value for key, value in pairs},
    "torch._utils._rebuild_tensor": _view,
    "torch._utils._rebuild_tensor_v2": _view,
    "torch._utils._rebuild_tensor_v3": _view,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
    "torch._tensor._rebuild_from_type_v2": lambda make, kind, args, state: (
        MAKERS[make.name](*args) if make.name in MAKERS else Dead(make.name, args)
    ),
}


# --- the two formats -------------------------------------------------------------------------


def _zipped(file: IO[bytes], path: Path) -> tuple[Any, Storages]:
    try:
        archive = zipfile.ZipFile(file)
    except (*UNSOUND, ValueError) as error:
        raise _broken(path, f"its archive is not whole ({error})") from error
    members = {member.filename: member for member in archive.infolist()}
    pickles = sorted((name for name in members if name.endswith("/data.pkl")), key=len)
    if not pickles:
        raise _broken(path, "its archive holds no data.pkl")
    folder = pickles[0].removesuffix("data.pkl")

    def read(name: str, most: int) -> bytes:
        member = members[folder + name]
        if member.file_size > most:
            raise too_large(path, member.file_size)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _broken(path, f"{name} is packed in a way that PyTorch does not write")
        try:
            return archive.read(member)
        except UNSOUND as error:
            raise _broken(path, f"its archive is not whole ({error})") from error

    big = folder + "byteorder" in members and read("byteorder", 8).strip() == b"big"
    data = folder + "data/"
    sizes = {
        name.removeprefix(data): member.file_size
        for name, member in members.items()
        if name.startswith(data)
    }
    root = _pickle(io.BytesIO(read("data.pkl", MAX_PICKLE)), path, _storage)
    return root, Storages(path, sizes, lambda key: read(f"data/{key}", MAX_BYTES), big=big)


def _row_of_pickles(file: IO[bytes], path: Path) -> tuple[Any, Storages]:
    size = path.stat().st_size
    start = io.BytesIO(file.read(min(size, MAX_PICKLE)))
    if _pickle(start, path) != MAGIC:
        raise mistake(
            path,
            "a plain pickle, not a checkpoint of PyTorch",
            expected="what torch.save writes",
            fix="save the model's state_dict() with torch.save, or as .npz with numpy.savez",
        )
    _pickle(start, path)
    system = _pickle(start, path)
    storages: dict[str, Storage] = {}

    def persistent(pid: Any) -> Any:
        if pid[0] == "module":
            return pid[1]
        storage = _storage(pid)
        return storages.setdefault(storage.key, storage)

    root = _pickle(start, path, persistent)
    keys = _pickle(start, path)
    places: dict[str, tuple[int, int]] = {}
    at = start.tell()
    for key in keys if isinstance(keys, list) else ():
        if key not in storages:
            raise _broken(path, "it lists a storage that no tensor has")
        file.seek(at)
        elements = int.from_bytes(file.read(8), "little", signed=True)
        length = elements * SIZES.get(storages[key].kind, 1)
        if elements < 0 or at + 8 + length > size:
            raise _broken(path, f"a storage of {elements:,} elements in a file of {size:,} bytes")
        places[key] = at + 8, length
        at += 8 + length

    def fetch(key: str) -> bytes:
        file.seek(places[key][0])
        return file.read(places[key][1])

    big = isinstance(system, dict) and system.get("little_endian") is False
    sizes = {key: length for key, (_, length) in places.items()}
    return root, Storages(path, sizes, fetch, big=big)


def _tensor(source: Storages, name: str, view: View) -> Array:
    """Read a view of a storage."""
    storage = view.storage
    if view.dtype not in TYPES:
        raise unknown_type(source.path, name, view.dtype)
    wanted = storage.elements * SIZES.get(storage.kind, 1)
    has = source.sizes.get(storage.key, 0)
    if has != wanted:
        raise _broken(source.path, f"{name} needs {wanted:,} bytes of a storage, which has {has:,}")
    numbers = decoded(source.read(storage.key), TYPES[view.dtype], source.order)
    return np.lib.stride_tricks.as_strided(
        numbers[view.offset :],
        view.shape,
        [stride * numbers.itemsize for stride in view.strides],
        writeable=False,
    )
