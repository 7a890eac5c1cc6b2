"""What a run may be called, and what happens where names meet.

A folder goes by the experiment's name: what it held before may be the same experiment, another form
of it, or another file's. A sweep that grows or shrinks stays the
same experiment. What else has changed is told, and what was drawn of the earlier form is set aside;
a file whose name meets that of another file, which is still there, is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradflow.errors import UserError

if TYPE_CHECKING:  # an experiment file is read, and named, without NumPy
    from gradflow.experiment.store.runs import Point, Run

__all__ = [
    "ASIDE", "BASELINES", "RUN_NAME", "asked_in", "earlier", "is_run_name", "likely_name",
    "net_name", "run_name", "set_aside",
]  # fmt: skip

BASELINES = "baselines"
"""The folder beside the runs that holds the gate's golden values; no run can have its name."""

RUN_NAME = (
    "1 to 64 small letters of any script, digits, '.', '_' and '-', the first a letter or a digit"
)
"""What an experiment, and so its folder, may be called, in words."""

LONGEST, LONGEST_BYTES = 64, 200
"""In characters, and as a file system counts, which takes up to 255 bytes."""

ASIDE = "before"
"""The folder of a run that keeps what was drawn of its earlier forms."""

DRAWN = ("plots", "report.html")
"""What is made of a run's results, and shows them as they were."""


def run_name(text: str) -> str:
    """Make a name of a text: small letters, composed; what else stands there becomes a hyphen."""
    text = unicodedata.normalize("NFC", text.lower())
    kept = "".join(c if c in "._-" or _is_part(c) else " " for c in text)
    name = "-".join(kept.split()).lstrip("._-")
    while len(name) > LONGEST or len(name.encode()) > LONGEST_BYTES:
        name = name[:-1]
    return name or "experiment"


def is_run_name(name: str) -> bool:
    """Whether a run can have this name."""
    return bool(name) and name == run_name(name)


def _is_part(character: str) -> bool:
    """Whether it is a letter of any script with its marks, or a digit."""
    return unicodedata.category(character)[0] in "LMN"


def likely_name(config: Path, text: bytes, overrides: Sequence[str]) -> str:
    """Guess the name of an experiment from its file's text and what overrides it, unread."""
    lines = [one.replace("=", ":", 1) for one in overrides[::-1]]
    lines += text.decode(errors="replace").splitlines()
    given = next((line for line in lines if line.startswith("name:")), "")
    return given[5:].partition(" #")[0].strip(" \"'") or run_name(config.stem)


def net_name(axes: Mapping[str, Any], key: str) -> str:
    """Return the name of a learnt net's file, which says where its point stands in the sweep.

    ``lstm_length-40_seed-0.npz``. Where that cannot be written out, for its letters or its length,
    the first digits of the point's hash, `key`, tell it from others.
    """
    cell = str(axes.get("model.cell", ""))
    words = [
        str(value) if path == "model.cell" else f"{path.rpartition('.')[2]}-{value}"
        for path, value in axes.items()
    ]
    whole = re.sub(r"[^\w.+=-]+", "-", "_".join(words) or "net").strip("-")
    name = whole.encode()[:LONGEST_BYTES].decode(errors="ignore")
    unclear = any(re.search(r"[^\w.+=,()-]", word) for word in words if word != cell)
    return f"{name}_{key[:8]}.npz" if unclear or name != whole else f"{name}.npz"


def asked_in(config: Path, text: bytes, overrides: Sequence[str]) -> str:
    """Return a digest of the words that ask for an experiment, and of what their paths start from.

    Equal words ask for equal experiments as long as the files that they name, and the code, stay
    what they are.
    """
    place = [os.path.abspath(config), os.path.expanduser("~"), os.getcwd() if overrides else ""]
    words = [hashlib.sha256(text).hexdigest(), *overrides]
    return hashlib.sha256(json.dumps([place, words]).encode()).hexdigest()


def earlier(path: Path, points: Sequence[Point], source: str) -> Run | None:
    """Return the run that a folder held if it was of another experiment than these points are.

    Parameters
    ----------
    path : Path
        The run's folder, which need not be there.
    points : sequence of Point
        What it is to hold.
    source : str
        The experiment file, or ``""``.

    Raises
    ------
    UserError
        If another file's experiment lies there, and that file is still in its place.
    """
    from gradflow.experiment.store.manifest import FILE, DamagedError
    from gradflow.experiment.store.runs import open_run

    if not (path / FILE).is_file():
        return None
    try:
        before = open_run(path)
    except DamagedError:
        return None
    now = {point.hash for point in points}
    then = {point.hash for point in (*before.points, *before.missing)}
    if not then or now <= then or then <= now:
        return None
    if source and before.source not in ("", source) and Path(before.source).is_file():
        raise UserError(
            f"{path} holds the run of another file, {before.source}\n"
            f"  fix: give one of the two a name of its own: name={path.name}-2 here, or name: in "
            "the file"
        )
    return before


def set_aside(path: Path, before: Run) -> Path | None:
    """Move what was drawn of an earlier form out of the way; return where to, if there is any."""
    drawn = [path / name for name in DRAWN if (path / name).exists()]
    if not drawn:
        return None
    stamp = "".join(c for c in before.updated.partition("+")[0] if c not in "-:")
    place, count = path / ASIDE / stamp, 1
    while place.exists():
        count += 1
        place = path / ASIDE / f"{stamp}-{count}"
    place.mkdir(parents=True)
    for one in drawn:
        one.rename(place / one.name)
    return place
