"""What torch.save writes, made byte by byte: checkpoints sound and unsound, without torch."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

STORAGES = {"f8": "DoubleStorage", "f4": "FloatStorage", "f2": "HalfStorage", "i8": "LongStorage"}
HEAD, END = b"\x80\x02", b"."


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def group(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def mapping(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def storage(key: str, elements: int, kind: str = "FloatStorage", *more: bytes) -> bytes:
    parts = text("storage"), name("torch", kind), text(key), text("cpu"), number(elements), *more
    return group(*parts) + b"Q"


def view(
    source: bytes, shape: Sequence[int], strides: Sequence[int] | None = None, offset: int = 0
) -> bytes:
    if strides is None:
        strides = [int(np.prod(shape[k + 1 :])) for k in range(len(shape))]
    sizes = [group(*map(number, axes)) for axes in (shape, strides)]
    rest = b"\x89" + name("collections", "OrderedDict") + b")R"
    return name("torch._utils", "_rebuild_tensor_v2") + group(
        source, number(offset), *sizes, rest
    ) + b"R"  # fmt: skip


def whole(key: str, array: np.ndarray[Any, Any]) -> bytes:
    kind = STORAGES[array.dtype.str[1:]]
    return view(storage(key, array.size, kind), array.shape)


def zipped(
    path: Path, program: bytes, data: Mapping[str, bytes] | None = None, **options: Any
) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("net/data.pkl", HEAD + program + END)
        for key, stored in (data or {}).items():
            archive.writestr(f"net/data/{key}", stored)
    return path


def older(
    path: Path,
    program: bytes,
    keys: Sequence[str] = (),
    data: bytes = b"",
    system: bytes = mapping({"little_endian": b"\x88"}),
) -> Path:
    file = io.BytesIO()
    listed = b"](" + b"".join(map(text, keys)) + b"e"
    for part in (number(0x1950A86A20F9469CFC6C), number(1001), system, program, listed):
        file.write(HEAD + part + END)
    path.write_bytes(file.getvalue() + data)
    return path


def checkpoint(path: Path, state: Mapping[str, np.ndarray[Any, Any]], *, old: bool = False) -> Path:
    """Write a state dict in one of the two formats."""
    program = mapping({key: whole(str(i), a) for i, (key, a) in enumerate(state.items())})
    data = {str(i): a.tobytes() for i, a in enumerate(state.values())}
    if not old:
        return zipped(path, program, data)
    sizes = [a.size for a in state.values()]
    rows = [n.to_bytes(8, "little") + a for n, a in zip(sizes, data.values(), strict=True)]
    return older(path, program, list(data), b"".join(rows))
