"""What of a run's folder is still what asking for it gives: the words, the code, the files.

A stored point is good if its file is whole and the code that made it is the code there is now. What
has changed since is told. Where nothing has, down to the words that ask, `unchanged` says so
without a plan: no experiment is read, no core object is built.

Digests of code go by path and content, so that they are the same in every process, inside and
outside a git tree.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from gradflow.errors import UserError
from gradflow.experiment.data.reading import checksum
from gradflow.experiment.store.manifest import (
    CONFIG,
    FILE,
    UNFINISHED,
    Asked,
    DamagedError,
    Manifest,
    check_net,
    read_manifest,
    read_vouched,
    write_manifest,
)
from gradflow.experiment.store.names import asked_in, is_run_name, likely_name
from gradflow.experiment.store.runs import Point, Run, open_run
from gradflow.experiment.store.whole import alone, is_closed, write_atomic

__all__ = ["Unchanged", "changes", "code", "files_of", "is_current", "now", "unchanged"]

HOUSE = Path(__file__).resolve().parents[2]

ROOMS = (
    "core",
    *(f"experiment/{room}" for room in ("config", "data", "models", "recordings", "measure")),
)
"""Where an edit can change a number: the mathematics, what is read, and what is assumed."""

PLAIN = bool, int, float, complex, str, bytes, tuple, type(None)
"""Values of a class that say the same in every process."""


@dataclass(frozen=True)
class Unchanged:
    """A run that holds all that was asked for, and what was said when it was asked for."""

    run: Run
    asked: Asked


def unchanged(config: Path, overrides: Sequence[str], out: Path) -> Unchanged | None:
    """Return the run of an experiment file if measuring it again would measure nothing.

    It does where the file and what overrides it are word for word what the folder was filled for
    last, every point is stored and sound, the code is gradflow's own and the same, and so are the
    files that were read. It then counts as the run that was written last, as any that is run again.
    None: in doubt, plan.

    Parameters
    ----------
    config : Path
        The experiment file.
    overrides : sequence of str
        ``key=value``.
    out : Path
        Where runs are kept.
    """
    try:
        text = config.read_bytes()
    except OSError:
        return None
    name = likely_name(config, text, overrides)
    path = out / name
    if not (is_run_name(name) and (path / FILE).is_file()):
        return None
    with alone(path):
        try:
            manifest = read_manifest(path)
        except (DamagedError, FileNotFoundError):
            return None
        words = manifest.name, manifest.asked.words
        if words != (name, asked_in(config, text, overrides)) or not _holds_all(path, manifest):
            return None
        if not is_closed(path):
            manifest.updated = now()
            write_atomic(path / FILE, write_manifest(dict(manifest)))
    return Unchanged(open_run(path), manifest.asked)


def _holds_all(path: Path, manifest: Manifest) -> bool:
    """Whether a folder holds every point that it was filled for, as it would be measured now."""
    stored = {key: manifest.stored.get(key) for key in manifest.plan}
    ours, rows = code({}), {manifest.points[key].settings for key in manifest.plan}
    sections = (manifest.sections[part] for row in rows for part in manifest.settings[row].values())
    if (path / UNFINISHED).exists():  # a run that was stopped has something to clear away
        return False
    try:
        for key, one in stored.items():
            if one is None or manifest.code[one.code] != ours:
                return False
            read_vouched(path / "points" / f"{key}.npz", one.sha256)
            check_net(path, one)
        return (path / CONFIG).read_bytes() == manifest.config.encode() and all(
            contents == {_content(file, contents)} for file, contents in files_of(sections).items()
        )
    except (OSError, DamagedError, UserError):
        return False


def _content(file: str, contents: Iterable[str]) -> str:
    """What stands for a file's content now, with the net that is meant of several."""
    _, mark, net = next(iter(contents)).partition("#")
    return checksum(file.removesuffix(mark + net)) + mark + net


def is_current(manifest: Manifest, point: Point) -> bool:
    """Whether a point is stored, and the code that made it is the code there is now."""
    stored = manifest.stored.get(point.hash)
    return stored is not None and manifest.code[stored.code] == point.code


def changes(manifest: Manifest, points: Iterable[Point]) -> list[str]:
    """Say what is not as it was when points were measured: code by name, files by their path."""
    told: dict[str, None] = {}
    before = files_of(
        manifest.sections[row[name]]
        for row in manifest.settings.values()
        for name in ("model", "inputs")
    )
    for point in points:
        stored = manifest.stored.get(point.hash)
        if stored is not None:
            old = manifest.code[stored.code]
            told |= dict.fromkeys(
                f"the code of {name}"
                for name in {**old, **point.code}
                if old.get(name) != point.code.get(name)
            )
        else:
            there = files_of(point.settings[name] for name in ("model", "inputs", "loss"))
            told |= dict.fromkeys(
                path for path in there if path in before and not there[path] & before[path]
            )
    return list(told)


def files_of(sections: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """The checksums of each file that some sections name."""
    found: dict[str, set[str]] = {}
    for section in sections:
        for part in (section, *(one for one in section.values() if isinstance(one, Mapping))):
            if "sha256" in part:
                found.setdefault(part["resolved"], set()).add(part["sha256"])
    return found


def now() -> str:
    """The time as a manifest has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


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
    """What the functions and values of what has no file are compiled to, wherever it was typed."""
    members = inspect.getmembers_static(maker) if inspect.isclass(maker) else [("", maker)]
    for name, member in members:
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        if inspect.isfunction(function):
            yield from _instructions(function.__code__)
            yield repr((function.__defaults__, function.__kwdefaults__)).encode()
        elif isinstance(member, PLAIN) and not name.startswith("__"):
            yield f"{name}={member!r}".encode()


def _instructions(block: CodeType) -> Iterator[bytes]:
    yield block.co_code + repr(block.co_names).encode()
    for constant in block.co_consts:
        if isinstance(constant, CodeType):
            yield from _instructions(constant)
        else:
            yield repr(constant).encode()
