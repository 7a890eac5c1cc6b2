"""What of a run's folder is still what asking for it gives: the words, the code, the files.

A stored point is good if its file is whole and the code that made it is the code there is now. What
has changed since is told. Where nothing has, down to the words that ask, `unchanged` says so
without a plan: no experiment is read, no core object is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradflow.errors import UserError
from gradflow.experiment.data.reading import checksum
from gradflow.experiment.store.code import code
from gradflow.experiment.store.manifest import (
    CONFIG,
    FILE,
    Asked,
    DamagedError,
    Manifest,
    read_manifest,
    read_vouched,
    write_manifest,
)
from gradflow.experiment.store.names import asked_in, is_run_name, likely_name
from gradflow.experiment.store.runs import Point, Run, open_run
from gradflow.experiment.store.whole import alone, is_closed, write_atomic

__all__ = ["Unchanged", "changes", "files_of", "is_current", "now", "unchanged"]


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
            write_atomic(path / FILE, write_manifest(manifest.model_dump()))
    return Unchanged(open_run(path), manifest.asked)


def _holds_all(path: Path, manifest: Manifest) -> bool:
    """Whether a folder holds every point that it was filled for, as it would be measured now."""
    stored = {key: manifest.stored.get(key) for key in manifest.plan}
    ours, rows = code({}), {manifest.points[key].settings for key in manifest.plan}
    sections = (manifest.sections[part] for row in rows for part in manifest.settings[row].values())
    try:
        for key, one in stored.items():
            if one is None or manifest.code[one.code] != ours:
                return False
            read_vouched(path / "points" / f"{key}.npz", one.sha256)
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
