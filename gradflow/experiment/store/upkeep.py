"""The upkeep of runs' folders: what is damaged is found, runs are removed or called otherwise.

Every file is held against what vouches for it. The manifest carries its own checksum, the text of
``config.yaml`` and the checksums of points and of nets that have learnt. Where it is lost each
point's file says itself which one it is. What nets would go on learning from ends in its checksum.
A folder that was left in a hurry is not damaged: what was being written then is not there yet, and
a whole point is entered into the manifest by the next run. Nor are files damaged that the
experiment as it is now does not ask for: nothing reads them unverified.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

from gradflow.errors import UserError, typed
from gradflow.experiment.store.manifest import (
    CONFIG,
    FILE,
    UNFINISHED,
    WEIGHTS,
    DamagedError,
    Manifest,
    Stored,
    check_net,
    damage,
    read_manifest,
    read_vouched,
    write_manifest,
)
from gradflow.experiment.store.names import ASIDE, BASELINES, RUN_NAME, is_run_name
from gradflow.experiment.store.whole import (
    LOCK,
    TEMPORARY,
    decode,
    finished,
    locked,
    origin,
    unsealed,
    write_atomic,
)

__all__ = ["examine", "examine_config", "mend_config", "remove", "rename"]

OURS = ("points/*.npz", f"points/.*{TEMPORARY}", "plots/*.png", "plots/*.svg", "plots/*.pdf",
        "plots/*.gif", f"{WEIGHTS}/*.npz", f"{WEIGHTS}/.*{TEMPORARY}",
        f"{ASIDE}/*/plots/*.*", f"{ASIDE}/*/report.html", "report.html",
        f".*{TEMPORARY}", CONFIG, FILE)  # fmt: skip
"""What gradflow writes into a run's folder, the index last."""

FOLDERS = (f"{ASIDE}/*/plots", f"{ASIDE}/*", ASIDE, "points", "plots", UNFINISHED, WEIGHTS)

NAMED = re.compile(r"^name:.*$", re.MULTILINE)
"""The line of an experiment file that names it."""


def examine(path: Path) -> list[DamagedError]:
    """Return an error for each damaged file of the run in folder `path`."""
    manifest, found, place = None, [], path / "points"
    points: dict[Path, str | None] = dict.fromkeys(finished(place))
    try:
        manifest = read_manifest(path)
    except DamagedError as error:
        found.append(error)
    except FileNotFoundError:
        if not points:
            return []  # a run that is being begun, or was stopped before it had anything to lose
        found.append(damage(path / FILE, "it is missing"))
    config = _compared(path / CONFIG, manifest.config.encode() if manifest else b"")
    found += [config] if config else []
    if manifest:
        asked = [(key, manifest.stored.get(key)) for key in manifest.plan]
        points = {place / f"{key}.npz": one.sha256 for key, one in asked if one}
        found += filter(None, (_examine_net(path, one) for _, one in asked if one))
    found += filter(None, (_examine_point(*each) for each in points.items()))
    for file in finished(path / UNFINISHED):
        try:
            unsealed(file.read_bytes())
        except (OSError, ValueError) as error:
            found.append(damage(file, _said(error)))
    return found


def examine_config(path: Path) -> DamagedError | None:
    """Return the error that a run's ``config.yaml`` is not what was written, if it is not.

    Where the manifest cannot be read either, nothing vouches for it, and only its loss is seen.
    """
    return _compared(path / CONFIG, _expected(path))


def _compared(file: Path, expected: bytes) -> DamagedError | None:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        if expected:
            return damage(file, "it is missing")
        fix = "gradflow run FILE, the experiment's own file; points that are sound are reused"
        return DamagedError(file, f"it is missing, and no {FILE} tells what it was", fix)
    except OSError as error:
        return damage(file, _said(error))
    if expected and data != expected:
        return damage(file, f"it is not the one that {FILE} holds")
    return None


def mend_config(path: Path) -> bool:
    """Write a run's ``config.yaml`` again where the manifest tells what it was; return if so."""
    expected = _expected(path)
    if expected and _compared(path / CONFIG, expected):
        with locked(path / LOCK):
            write_atomic(path / CONFIG, expected)
        return True
    return False


def _expected(path: Path) -> bytes:
    """What the manifest says of ``config.yaml``; nothing where it does not."""
    try:
        manifest: Manifest = read_manifest(path)
    except (DamagedError, FileNotFoundError):
        return b""
    return manifest.config.encode()


def _examine_point(file: Path, sha256: str | None) -> DamagedError | None:
    """Return the error that a point's file is not sound, if it is not."""
    try:
        data = read_vouched(file, sha256)
        told = origin(data)
        decode(data)
    except DamagedError as error:
        return error
    except (ValueError, KeyError, TypeError) as error:
        return damage(file, f"it is no result ({error})")
    own = told.get("hash") if isinstance(told, dict) else None
    return None if own == file.stem else damage(file, f"it says that it is point {own}")


def _examine_net(path: Path, stored: Stored) -> DamagedError | None:
    """Return the error that a net that has learnt is not the one that was kept, if it is not."""
    try:
        check_net(path, stored)
    except DamagedError as error:
        return error
    return None


def _said(error: OSError | ValueError) -> str:
    text = error.strerror if isinstance(error, OSError) else str(error)
    return f"it cannot be read ({text})"


def remove(path: Path) -> list[str]:
    """Remove what gradflow wrote into a run's folder, and the folder if nothing else is there.

    Returns the names of what stays.
    """
    with locked(path / LOCK):
        shutil.rmtree(path / UNFINISHED, ignore_errors=True)
        for pattern in OURS:
            for file in path.glob(pattern):
                file.unlink(missing_ok=True)
    (path / LOCK).unlink(missing_ok=True)
    for folder in (*(one for name in FOLDERS for one in path.glob(name)), path):
        with contextlib.suppress(OSError):  # it holds something of the user's, or is not there
            folder.rmdir()
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def rename(path: Path, name: str) -> Path:
    """Call a run otherwise: its folder, its experiment file and its index. Return its new folder.

    Raises
    ------
    UserError
        If no run can have that name, or something has it already.
    DamagedError
        If the run cannot be read.
    """
    if name == BASELINES:
        raise UserError(f"{name!r} is where the baselines are kept\n  fix: another name")
    if not is_run_name(name):
        raise UserError(f"{name!r} cannot name a run\n  expected: {RUN_NAME}")
    target = path.resolve().with_name(name)
    if target.exists():
        raise UserError(
            f"{target} is there already\n  fix: another name, or gradflow rm {typed(target)}"
        )
    with locked(path / LOCK):
        manifest = read_manifest(path)
        path.rename(target)
        manifest.name = name
        config = manifest.config or (target / CONFIG).read_text("utf-8")
        manifest.config = NAMED.sub(f'name: "{name}"', config, count=1)
        write_atomic(target / CONFIG, manifest.config.encode())
        write_atomic(target / FILE, write_manifest(dict(manifest)))
    return path.with_name(name)
