"""What is damaged in a run's folder: every file is held against what vouches for it.

The manifest carries its own checksum, the text of ``config.yaml`` and the points' checksums. Where
it is lost each point's file says itself which one it is. What nets would go on learning from ends
in its checksum. A folder that was left in a hurry is not damaged: what was being written then is
not there yet, and a whole point is entered into the manifest by the next run. Nor are files damaged
that the experiment as it is now does not ask for: nothing reads them unverified.
"""

from __future__ import annotations

from pathlib import Path

from gradflow.experiment.store.manifest import (
    CONFIG,
    FILE,
    UNFINISHED,
    DamagedError,
    Manifest,
    damage,
    read_manifest,
    read_vouched,
)
from gradflow.experiment.store.whole import LOCK, decode, locked, origin, unsealed, write_atomic

__all__ = ["examine", "examine_config", "mend_config"]


def examine(path: Path) -> list[DamagedError]:
    """Return an error for each damaged file of the run in folder `path`."""
    manifest, found = None, []
    try:
        manifest = read_manifest(path)
    except DamagedError as error:
        found.append(error)
    except FileNotFoundError:
        found.append(damage(path / FILE, "it is missing"))
    config = examine_config(path)
    found += [config] if config else []
    place = path / "points"
    points: dict[Path, str | None] = dict.fromkeys(sorted(place.glob("[!.]*.npz")))
    if manifest:
        asked = [(key, manifest.stored.get(key)) for key in manifest.plan]
        points = {place / f"{key}.npz": one.sha256 for key, one in asked if one}
    found += filter(None, (_examine_point(*each) for each in points.items()))
    for file in sorted((path / UNFINISHED).glob("[!.]*.npz")):
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


def _said(error: OSError | ValueError) -> str:
    text = error.strerror if isinstance(error, OSError) else str(error)
    return f"it cannot be read ({text})"
