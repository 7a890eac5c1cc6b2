"""Which code makes a point's numbers, as digests: gradflow's own, NumPy's, a user's cells'.

A stored point is good as long as these are what they were. Digests go by path and content, so that
they are the same in every process, inside and outside a git tree.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

__all__ = ["code"]

HOUSE = Path(__file__).resolve().parents[2]

ROOMS = (
    "core",
    *(f"experiment/{room}" for room in ("config", "data", "models", "recordings", "measure")),
)
"""Where an edit can change a number: the mathematics, what is read, and what is assumed."""


def code(makers: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of all code that makes numbers, by what the code is.

    `makers` are the classes and functions that take part by their names; those of gradflow itself,
    of which NumPy is a part here, have one digest together.
    """
    digests = {name: _source(maker) for name, maker in makers.items()}
    return {"gradflow": _house(), "numpy": np.__version__} | {
        name: digest for name, digest in digests.items() if digest
    }


@cache
def _house() -> str:
    files = (file for room in ROOMS for file in (HOUSE / room).rglob("*"))
    return _digest(HOUSE, (file for file in files if file.suffix in (".py", ".npz")))


@cache
def _source(maker: Any) -> str:
    """Digest a user's class or function by its package; empty for one of gradflow's own."""
    module = sys.modules.get(maker.__module__)
    file = getattr(module, "__file__", None)
    if file is None:  # typed into an interpreter
        return hashlib.sha256(b"".join(_compiled(maker))).hexdigest()[:16]
    path = Path(file).resolve()
    if path.is_relative_to(HOUSE):
        return ""
    top = sys.modules[maker.__module__.partition(".")[0]]
    for folder in map(Path, getattr(top, "__path__", ())):
        if path.is_relative_to(folder.resolve()):
            return _digest(folder, folder.rglob("*.py"))
    return _digest(path.parent, [path])


def _digest(root: Path, files: Iterable[Path]) -> str:
    """Digest files by their path below `root` and their content."""
    digest = hashlib.sha256()
    for name, file in sorted((file.relative_to(root).as_posix(), file) for file in files):
        content = file.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _compiled(maker: Any) -> Iterator[bytes]:
    """The compiled functions of what has no file, without the place that they were typed at."""
    members = inspect.getmembers(maker, inspect.isfunction) if inspect.isclass(maker) else ()
    for _, function in members or [("", maker)]:
        yield from _instructions(function.__code__)


def _instructions(block: CodeType) -> Iterator[bytes]:
    yield block.co_code + repr(block.co_names).encode()
    for constant in block.co_consts:
        if isinstance(constant, CodeType):
            yield from _instructions(constant)
        else:
            yield repr(constant).encode()
