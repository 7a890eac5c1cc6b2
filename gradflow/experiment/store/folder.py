"""The writing side of a run's folder: what is there, what is still good, and how results get in.

``results/NAME/`` holds ``config.yaml`` (resolved, runs again as it is), ``manifest.json`` and
``points/HASH.npz``. The manifest is an index with the SHA-256 of every file; a file that was
renamed into place just before the process died says itself which point it is, and is entered the
next time. All writing happens under one lock, so any number of processes may fill the same folder.
Where nothing can be written, a run that is complete can still be asked for.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from gradflow.core.quantity import Result
from gradflow.experiment.store.current import changes, is_current, now
from gradflow.experiment.store.manifest import (
    CONFIG,
    FILE,
    UNFINISHED,
    WEIGHTS,
    Asked,
    DamagedError,
    Known,
    Manifest,
    Stored,
    brief,
    check_net,
    read_manifest,
    read_vouched,
    write_manifest,
)
from gradflow.experiment.store.names import net_name
from gradflow.experiment.store.runs import Point, Run, load_run
from gradflow.experiment.store.whole import (
    TEMPORARY,
    alone,
    encode,
    is_closed,
    origin,
    write_atomic,
)  # fmt: skip

__all__ = ["Folder"]

INDEX_SHARE = 20
"""Writing the manifest may take one part in this many of the time, however many points it holds."""

LOCKED = (f".{FILE}", f".{CONFIG}", "points/", f"{WEIGHTS}/", f"{UNFINISHED}/")
"""What is written under the lock alone: a temporary file there has lost its writer."""


class Folder:
    """The writing side of a run's folder.

    Parameters
    ----------
    path : Path
        The folder; it is made if it is not there.
    environment : callable
        Tells what results are computed in, see `manifest.environment`; asked when there are any.
    synced : bool
        Whether points have to reach the disk before they count.
    """

    def __init__(
        self, path: Path, environment: Callable[[], Mapping[str, Any]], *, synced: bool = True
    ) -> None:
        self.path = path
        self._synced = synced
        self._ask = environment
        self._manifest = Manifest(name=path.name, created=now(), updated="")
        self._seen: tuple[int, ...] = ()
        self._due = 0.0
        self._shared: dict[int, tuple[Any, str]] = {}
        self._rows: dict[tuple[int, int], tuple[Point, str]] = {}
        (path / "points").mkdir(parents=True, exist_ok=True)
        self._closed = is_closed(path)
        with alone(self.path):
            for place in LOCKED:
                for leftover in () if self._closed else path.glob(f"{place}.*{TEMPORARY}"):
                    leftover.unlink(missing_ok=True)

    @cached_property
    def _environment(self) -> tuple[str, dict[str, Any]]:
        told = dict(self._ask())
        return brief(told), told

    def configure(
        self,
        text: str,
        axes: Mapping[str, Sequence[Any]],
        points: Sequence[Point],
        source: str = "",
        asked: Asked | None = None,
    ) -> list[str]:
        """Let the folder stand for an experiment: ``config.yaml`` and the points of its sweep.

        `source` is the experiment's file; empty where there is none, or none but ``config.yaml``.
        `asked` are the words by which `unchanged` knows it again.

        Returns what has changed since it was run last, beside the experiment itself.
        """
        labels = {key: list(values) for key, values in axes.items()}
        hashes = [point.hash for point in points]
        with alone(self.path):
            self._refresh()
            told = changes(self._manifest, points)
            if self._closed and (self._manifest.axes, self._manifest.plan) == (labels, hashes):
                return told  # it stands for this experiment already
            write_atomic(self.path / CONFIG, text.encode())
            self._manifest.config = text
            self._manifest.asked = asked or Asked()
            self._manifest.axes, self._manifest.plan = labels, hashes
            if source:
                self._manifest.source = source
            for point in points:
                self._know(point)
            self._write()
        return told

    def sound(self, points: Iterable[Point]) -> set[str]:
        """Return the hashes of the points that are stored and still good."""
        with alone(self.path):
            self._refresh()
            return {point.hash for point in points if self._is_good(point)}

    def drop(self, hashes: Iterable[str]) -> None:
        """Forget results that will be measured again, so that none is read half old, half new.

        Where there is no place for new ones, it is said here, before anything is measured.
        """
        asked = list(hashes)
        with alone(self.path):
            self._refresh()
            old = {key: self._manifest.stored.pop(key, None) for key in asked}
            for key, stored in old.items():
                self._let_go(key, stored)
            if any(old.values()) or (old and self._closed):
                self._write()

    def put(
        self, results: Collection[tuple[Point, Result]], seconds: float, *, replace: bool = False
    ) -> None:
        """Store what was computed together in `seconds`.

        What another process stored in the meantime stays if it is good, unless `replace` is set.
        """
        with alone(self.path):
            self._refresh()
            for point, result in results:
                if not replace and self._is_good(point):
                    continue
                data = encode(result, _origin(point))
                write_atomic(self._file(point), data, synced=self._synced)
                self._enter(point, data, round(seconds / len(results), 6))
            if time.monotonic() >= self._due:
                self._write()

    def _let_go(self, key: str, stored: Stored | None) -> None:
        """Remove a net that is not what was kept, and its point, which would vouch for it anew."""
        if stored is None or self._closed:
            return
        try:
            check_net(self.path, stored)
        except DamagedError as error:
            for file in (self.path / "points" / f"{key}.npz", error.file):
                file.unlink(missing_ok=True)

    def flush(self) -> None:
        """Write the manifest now, where it can be."""
        if self._closed:
            return
        with alone(self.path):
            self._refresh()
            self._write()

    def run(self, points: Sequence[Point]) -> Run:
        """Return these points as a run: those that are stored, and those that are missing."""
        manifest = self._manifest
        return Run(
            name=self.path.name,
            path=self.path,
            points=tuple(point for point in points if point.hash in manifest.stored),
            missing=tuple(point for point in points if point.hash not in manifest.stored),
            load=lambda point: load_run(self.path, manifest.stored[point.hash], point),
            created=manifest.created,
            updated=manifest.updated,
            environments=tuple(manifest.environments.values()),
            config=manifest.config,
        )

    def _is_good(self, point: Point) -> bool:
        stored = self._manifest.stored.get(point.hash)
        if stored is not None and not is_current(self._manifest, point):
            return False
        try:
            data = read_vouched(self._file(point), stored.sha256 if stored else None)
            if stored is not None:
                check_net(self.path, stored)
        except DamagedError:
            return False
        if stored is not None:
            return True
        try:
            if origin(data) != _origin(point):
                return False
        except ValueError:
            return False
        self._enter(point, data, None)
        return True

    def _know(self, point: Point) -> None:
        known = Known(self._row(point), point.length, point.seed)
        self._manifest.points[point.hash] = known

    def _row(self, point: Point) -> str:
        """The digest of a point's settings, which is taken once for all that share them."""
        ids = id(point.settings), id(point.net)
        if ids in self._rows and self._rows[ids][1] in self._manifest.settings:
            return self._rows[ids][1]
        settings = {key: value for key, value in point.settings.items() if isinstance(value, dict)}
        rest = {key: value for key, value in point.settings.items() if key not in settings}
        row = {name: self._share(part) for name, part in (settings | {"net": point.net}).items()}
        row["rest"] = brief(rest)
        self._manifest.sections[row["rest"]] = rest
        key = brief(row)
        self._manifest.settings[key] = row
        self._rows[ids] = point, key
        return key

    def _share(self, section: Mapping[str, Any]) -> str:
        """Keep a section under its digest."""
        key = self._brief(section)
        self._manifest.sections.setdefault(key, dict(section))
        return key

    def _brief(self, value: Mapping[str, Any]) -> str:
        """The digest of plain data, taken once for each object there is."""
        if id(value) not in self._shared:
            self._shared[id(value)] = value, brief(value)
        return self._shared[id(value)][1]

    def _enter(self, point: Point, data: bytes, seconds: float | None) -> None:
        manifest, code = self._manifest, self._brief(point.code)
        key, environment = self._environment
        manifest.code.setdefault(code, dict(point.code))
        manifest.environments[key] = environment
        if point.hash not in manifest.points:
            self._know(point)
        manifest.stored[point.hash] = Stored(
            code=code,
            environment=key,
            seconds=seconds,
            sha256=hashlib.sha256(data).hexdigest(),
            weights=self._net(point),
        )

    def _net(self, point: Point) -> dict[str, str] | None:
        """The name and the checksum of what a net has learnt."""
        if "train" not in point.settings:
            return None
        file = self.path / WEIGHTS / net_name(point.axes, point.hash)
        if not file.exists():
            return None
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()}

    def _refresh(self) -> None:
        """Read the manifest if another process wrote it, keeping what only we know of."""
        seen = _stamp(self.path / FILE)
        if seen == self._seen:
            return
        ours = self._manifest
        try:
            theirs = read_manifest(self.path)
        except (DamagedError, FileNotFoundError):
            theirs = ours
        for name in ("points", "stored", "settings", "sections", "code", "environments"):
            setattr(theirs, name, {**getattr(ours, name), **getattr(theirs, name)})
        theirs.name = self.path.name
        self._manifest, self._seen = theirs, seen

    def _write(self) -> None:
        start = time.monotonic()
        _tidy(self._manifest)
        self._manifest.updated = now()
        write_atomic(self.path / FILE, write_manifest(dict(self._manifest)))
        self._seen = _stamp(self.path / FILE)
        self._due = time.monotonic() + INDEX_SHARE * (time.monotonic() - start)

    def _file(self, point: Point) -> Path:
        return self.path / "points" / f"{point.hash}.npz"


def _tidy(manifest: Manifest) -> None:
    """Leave out what nothing leads to."""
    rows = {point.settings for point in manifest.points.values()}
    manifest.settings = {key: row for key, row in manifest.settings.items() if key in rows}
    parts = {part for row in manifest.settings.values() for part in row.values()}
    manifest.sections = {key: part for key, part in manifest.sections.items() if key in parts}
    stored = manifest.stored.values()
    for name, used in (
        ("code", {one.code for one in stored}),
        ("environments", {one.environment for one in stored}),
    ):
        table = getattr(manifest, name)
        setattr(manifest, name, {key: table[key] for key in table if key in used})


def _origin(point: Point) -> dict[str, Any]:
    return {"hash": point.hash, "code": dict(point.code)}


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        status = file.stat()
    except FileNotFoundError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
