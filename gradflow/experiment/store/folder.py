"""A run's folder on disk: what is there, what is sound, and how a result gets in and out.

``results/NAME/`` holds ``config.yaml`` (resolved, runs again as it is), ``manifest.json`` and
``points/HASH.npz``. The manifest is an index with the SHA-256 of every file; a file that was
renamed into place just before the process died is found and entered the next time. All writing
happens under one lock, so any number of processes may fill the same folder.
"""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradflow.core.quantity import Result
from gradflow.errors import GradflowError
from gradflow.experiment.measure.plan import Point
from gradflow.experiment.store.files import TEMPORARY, locked, write_atomic
from gradflow.experiment.store.npz import decode, encode

__all__ = ["DamagedError", "Folder", "read_manifest", "read_point"]

FORMAT = 1
INDEX_SHARE = 20
"""Writing the manifest may take one part in this many of the time, however many points it holds."""


class DamagedError(GradflowError):
    """A stored file is not what was written."""


class Folder:
    """The writing side of a run's folder.

    Parameters
    ----------
    path : Path
        The folder; it is made if it is not there.
    environment : mapping
        What the results put in are computed with, see `provenance.environment`.
    """

    def __init__(self, path: Path, environment: Mapping[str, Any]) -> None:
        self.path = path
        self._environment = dict(environment)
        self._key = hashlib.sha256(_text(self._environment).encode()).hexdigest()[:8]
        self._manifest: dict[str, Any] = {}
        self._seen: tuple[int, ...] = ()
        self._due = 0.0
        (path / "points").mkdir(parents=True, exist_ok=True)
        with locked(self._lock):
            for leftover in (*path.glob(f".*{TEMPORARY}"), *path.glob(f"points/.*{TEMPORARY}")):
                leftover.unlink(missing_ok=True)

    @property
    def _lock(self) -> Path:
        return self.path / ".lock"

    def configure(self, text: str) -> None:
        """Write ``config.yaml``, the experiment that the folder now stands for."""
        with locked(self._lock):
            write_atomic(self.path / "config.yaml", text.encode())

    def sound(self, points: Iterable[Point], *, strict: bool = False) -> set[str]:
        """Return the hashes of the points that are stored and undamaged.

        With `strict`, only of those that were computed in an environment like ours.
        """
        with locked(self._lock):
            self._refresh()
            return {point.hash for point in points if self._is_sound(point, strict)}

    def put(
        self, results: Collection[tuple[Point, Result]], seconds: float, *, replace: bool = False
    ) -> None:
        """Store what was computed together in `seconds`.

        What another process stored soundly in the meantime stays, unless `replace` is set.
        """
        with locked(self._lock):
            self._refresh()
            overwritten = False
            for point, result in results:
                if not replace and self._is_sound(point):
                    continue
                data = encode(result)
                write_atomic(self.path / _file(point), data)
                overwritten |= point.hash in self._manifest["points"]
                self._enter(point, data, round(seconds / len(results), 6))
            if overwritten or time.monotonic() >= self._due:
                self._write()

    def flush(self) -> None:
        """Write the manifest now."""
        with locked(self._lock):
            self._refresh()
            self._write()

    def _is_sound(self, point: Point, strict: bool = False) -> bool:
        entry = self._manifest["points"].get(point.hash)
        if strict and (entry is None or entry["environment"] != self._key):
            return False
        try:
            data = (self.path / _file(point)).read_bytes()
        except OSError:
            return False
        if entry is not None:
            return bool(entry["sha256"] == hashlib.sha256(data).hexdigest())
        try:
            decode(data)
        except (ValueError, KeyError, OSError, zipfile.BadZipFile):
            return False
        self._enter(point, data, None)
        return True

    def _enter(self, point: Point, data: bytes, seconds: float | None) -> None:
        self._manifest["points"][point.hash] = {
            "axes": dict(point.axes),
            "environment": self._key,
            "file": _file(point),
            "seconds": seconds,
            "sha256": hashlib.sha256(data).hexdigest(),
        }

    def _refresh(self) -> None:
        """Read the manifest if another process wrote it, keeping what only we know of."""
        seen = _stamp(self.path / "manifest.json")
        if self._manifest and seen == self._seen:
            return
        try:
            stored = read_manifest(self.path)
        except DamagedError:
            stored = {}
        ours = self._manifest.get("points", {})
        self._manifest = {
            "created": _now(),
            **stored,
            "format": FORMAT,
            "name": self.path.name,
            "environments": {**stored.get("environments", {}), self._key: self._environment},
            "points": {**ours, **stored.get("points", {})},
        }
        self._seen = seen

    def _write(self) -> None:
        start = time.monotonic()
        self._manifest["updated"] = _now()
        path = self.path / "manifest.json"
        write_atomic(path, (_text(self._manifest) + "\n").encode())
        self._seen = _stamp(path)
        self._due = time.monotonic() + INDEX_SHARE * (time.monotonic() - start)


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of the run in folder `path`; empty if there is none yet.

    Raises
    ------
    DamagedError
        If it is not a manifest.
    """
    file = path / "manifest.json"
    try:
        manifest = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DamagedError(_damage(file, f"it is not JSON ({error})")) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DamagedError(_damage(file, f"it is not a manifest of format {FORMAT}"))
    return manifest


def read_point(path: Path, manifest: Mapping[str, Any], point: Point) -> Result:
    """Read one stored result of the run in folder `path` and verify its checksum.

    Raises
    ------
    DamagedError
        If the file is missing or is not the one that the manifest names.
    """
    file = path / _file(point)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DamagedError(_damage(file, f"it cannot be read ({error.strerror})")) from error
    if hashlib.sha256(data).hexdigest() != manifest["points"][point.hash]["sha256"]:
        raise DamagedError(_damage(file, "its SHA-256 is not the one in manifest.json"))
    return decode(data)


def _damage(file: Path, problem: str) -> str:
    root = file.parent.parent if file.parent.name == "points" else file.parent
    return f"{file} is damaged: {problem}\n  fix: gradflow run {root / 'config.yaml'} repairs it"


def _file(point: Point) -> str:
    return f"points/{point.hash}.npz"


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True, default=str, ensure_ascii=False)


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        status = file.stat()
    except FileNotFoundError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
