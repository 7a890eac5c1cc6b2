"""The runs of a folder put in order: removed, or called otherwise."""

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
    read_manifest,
    write_manifest,
)
from gradflow.experiment.store.names import ASIDE, BASELINES, RUN_NAME, is_run_name
from gradflow.experiment.store.whole import LOCK, TEMPORARY, locked, write_atomic

__all__ = ["remove", "rename"]

OURS = ("points/*.npz", f"points/.*{TEMPORARY}", "plots/*.png", "plots/*.svg", "plots/*.pdf",
        "plots/*.gif", "weights/*.npz", f"weights/.*{TEMPORARY}",
        f"{ASIDE}/*/plots/*.*", f"{ASIDE}/*/report.html", "report.html",
        f".*{TEMPORARY}", CONFIG, FILE)  # fmt: skip
"""What gradflow writes into a run's folder, the index last."""

FOLDERS = (f"{ASIDE}/*/plots", f"{ASIDE}/*", ASIDE, "points", "plots", UNFINISHED, "weights")

NAMED = re.compile(r"^name:.*$", re.MULTILINE)
"""The line of an experiment file that names it."""


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
        write_atomic(target / FILE, write_manifest(manifest.model_dump()))
    return path.with_name(name)
