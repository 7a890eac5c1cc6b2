"""The manifest: what a run's folder holds, in one file that needs no other to be understood.

``manifest.json`` keeps every point's resolved configuration, its place along the axes of the sweep
and what can be said of its network, beside the checksum of its file. Equal sections stand there
once, under the digest of their text. Its last line is the checksum of all lines above. What results
were computed with, versions, linear algebra, processor and commit, is `environment`.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import numpy as np
import threadpoolctl
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from gradflow._version import __version__
from gradflow.errors import GradflowError, typed

__all__ = [
    "CONFIG",
    "FILE",
    "FORMAT",
    "SECTIONS",
    "UNFINISHED",
    "WEIGHTS",
    "Asked",
    "DamagedError",
    "Known",
    "Manifest",
    "Stored",
    "brief",
    "check_net",
    "damage",
    "environment",
    "read_manifest", "read_vouched",
    "write_manifest",
]  # fmt: skip

FILE = "manifest.json"
FORMAT: Literal[2] = 2
CONFIG = "config.yaml"
UNFINISHED = "unfinished"
"""The folder that keeps what nets that learn would go on from."""

WEIGHTS = "weights"
"""The folder that keeps the nets that have learnt."""

SEAL = b',\n "sha256": '

SECTIONS = ("model", "net", "inputs", "init", "loss", "record", "rest")
"""What a point's settings name at least: the file's sections, what the network says of itself, and
the values that stand in no section."""

Hash: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
"""A point's hash, which is also the name of its file."""


class DamagedError(GradflowError):
    """A stored file is not what was written; all three are kept for whoever lists them."""

    def __init__(self, file: Path, problem: str, fix: str) -> None:
        super().__init__(file, problem, fix)
        self.file, self.problem, self.fix = file, problem, fix

    def __str__(self) -> str:
        return f"{self.file} is damaged: {self.problem}\n  fix: {self.fix}"


CLOSED = ConfigDict(extra="forbid", strict=True)


class _Closed(BaseModel):
    model_config = CLOSED


@dataclass(slots=True)
class Known:
    """A point: the digest of its settings, and what differs among points of equal settings."""

    __pydantic_config__: ClassVar[ConfigDict] = CLOSED

    settings: str
    length: int
    seed: int


@dataclass(slots=True)
class Stored:
    """A point's file: what it was computed by and in, the seconds it took, its checksum.

    `weights` has the name and the checksum of the net's file, if it has learnt.
    """

    __pydantic_config__: ClassVar[ConfigDict] = CLOSED

    code: str
    environment: str
    seconds: float | None
    sha256: str
    weights: dict[str, str] | None = None


class Asked(_Closed):
    """In which words the experiment was asked for last, see `names.asked_in`, and what they meant.

    `check` is the section of its file; `notes` is what was said of the file when it was read.
    """

    words: str = ""
    check: dict[str, Any] = {}
    notes: list[str] = []


class Manifest(_Closed):
    """Everything that a run's folder says of its points.

    `axes` and `plan` are the experiment's as it was run last: the labels along each axis, and the
    points' hashes in the order of their product, the last axis fastest. `points` and `stored` also
    hold what earlier forms of the experiment asked for. `settings` names sections by their digest;
    `source` is the experiment's file, `config` the text of ``config.yaml``, by which a damaged one
    is known and written again.
    """

    format: Literal[2] = FORMAT
    name: str
    created: str
    updated: str
    source: str = ""
    config: str = ""
    asked: Asked = Asked()
    axes: dict[str, list[Any]] = {}
    plan: list[Hash] = []
    points: dict[Hash, Known] = {}
    stored: dict[Hash, Stored] = {}
    settings: dict[str, dict[str, str]] = {}
    sections: dict[str, dict[str, Any]] = {}
    code: dict[str, dict[str, str]] = {}
    environments: dict[str, dict[str, Any]] = {}


def brief(value: Mapping[str, Any]) -> str:
    """Return 12 hexadecimal digits that stand for plain data."""
    text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def damage(file: Path, problem: str) -> DamagedError:
    """Return the error for a file of a run that is not what was written."""
    inside = file.parent.name in ("points", UNFINISHED, WEIGHTS)
    root = file.parent.parent if inside else file.parent
    return DamagedError(file, problem, f"gradflow run {typed(root)} repairs it")


def read_vouched(file: Path, sha256: str | None) -> bytes:
    """Read a file of a run, whose checksum the manifest has; None: it has none.

    Raises
    ------
    DamagedError
        If it cannot be read, or is not the one that the manifest names.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise damage(file, f"it cannot be read ({error.strerror})") from error
    if sha256 not in (None, hashlib.sha256(data).hexdigest()):
        raise damage(file, f"its SHA-256 is not the one in {FILE}")
    return data


def check_net(folder: Path, stored: Stored) -> None:
    """Hold a net that has learnt against its checksum; it may be gone, for no result needs it.

    Raises
    ------
    DamagedError
        If another file lies there.
    """
    for name, sha256 in (stored.weights or {}).items():
        if (file := folder / WEIGHTS / name).exists():
            read_vouched(file, sha256)


def read_manifest(folder: Path) -> Manifest:
    """Read and verify the manifest of the run in `folder`.

    Raises
    ------
    DamagedError
        If it cannot be read, or is not what was written; FileNotFoundError if there is none.
    """
    file = folder / FILE
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise damage(file, f"it cannot be read ({error.strerror})") from error
    body = data.rpartition(SEAL)[0]
    if data != body + _seal(body):
        raise damage(file, _unsealed(data))
    try:
        manifest = Manifest.model_validate_json(body + b"}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise damage(file, f"{place}: {first['msg']}") from error
    lost = _lost(manifest)
    if lost:
        raise damage(file, lost)
    return manifest


def _unsealed(data: bytes) -> str:
    """Say what is there in place of a manifest."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        return f"it is not JSON ({error})"
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return f"it is not a manifest of format {FORMAT}"
    return "its SHA-256 is not the one in its last line"


def _lost(manifest: Manifest) -> str:
    """Say which name of the manifest leads nowhere; empty where all lead somewhere."""
    size = math.prod(map(len, manifest.axes.values()))
    if len(manifest.plan) not in (0, size):
        return f"plan: {len(manifest.plan)} points, but the axes have {size}"
    stored = manifest.stored.values()
    for name, row in manifest.settings.items():
        if not row.keys() >= set(SECTIONS):
            return f"settings: {name} has not all of {', '.join(SECTIONS)}"
    for table, names in (
        ("points", {*manifest.plan, *manifest.stored}),
        ("settings", {point.settings for point in manifest.points.values()}),
        ("sections", {part for row in manifest.settings.values() for part in row.values()}),
        ("code", {one.code for one in stored}),
        ("environments", {one.environment for one in stored}),
    ):
        for name in sorted(names - getattr(manifest, table).keys()):
            return f"{table}: {name} is missing"
    nets = {row["net"] for row in manifest.settings.values()}
    if not all(isinstance(manifest.sections[net].get("cell"), str) for net in nets):
        return "sections: a network has no label"
    return ""


def write_manifest(content: Mapping[str, Any]) -> bytes:
    """Return the file's bytes: a line for each entry of a table, sorted, and the checksum."""
    body = bytearray()
    for text in _texts(content):
        body += text.encode()
    body += _seal(body)
    return bytes(body)


def _texts(content: Mapping[str, Any]) -> Iterator[str]:
    """Write a manifest piece by piece: as one text it would be held several times."""
    before = "{\n"
    for key, value in content.items():
        table = _plain(value)
        yield f'{before} "{key}": '
        if isinstance(table, dict) and table:
            names = list(table) if key == "axes" else sorted(table)  # axes in the plan's order
            yield "{"
            for name in names:
                yield f"{'' if name is names[0] else ','}\n  {_line(name)}: {_line(table[name])}"
            yield "\n }"
        else:
            yield _line(value)
        before = ",\n"


def _seal(body: bytes | bytearray) -> bytes:
    """How the file ends: a reader compares every byte, those behind the checksum as well."""
    return SEAL + f'"{hashlib.sha256(body).hexdigest()}"\n}}\n'.encode()


def _plain(value: Any) -> Any:
    """What JSON knows no form of: rows without what they leave open, and texts."""
    if isinstance(value, BaseModel):
        return dict(value)
    if isinstance(value, Known | Stored):
        row = {field.name: getattr(value, field.name) for field in fields(value)}
        return {name: told for name, told in row.items() if name != "weights" or told}
    return value if isinstance(value, dict | list) else str(value)


_line = json.JSONEncoder(sort_keys=True, default=_plain, ensure_ascii=False).encode


def environment(where: Path = Path()) -> dict[str, Any]:
    """Describe this process; `where` is a folder whose git commit counts."""
    return {
        "gradflow": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": _blas(),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "commit": _commit(where),
    }


def _blas() -> list[str]:
    libraries = threadpoolctl.threadpool_info()
    return sorted(
        {
            " ".join(str(library.get(key) or "") for key in keys).strip()
            for library in libraries
            if library["user_api"] == "blas"
            for keys in [("internal_api", "version", "architecture")]
        }
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _commit(where: Path) -> str | None:
    """Return the commit of the work tree around `where`, with ``+`` if it has changes."""
    words = ["git", "-C", str(where), "status", "--porcelain=v2", "--branch", "-uno"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    head, *lines = done.stdout.splitlines()
    if head.endswith("(initial)"):
        return None
    changed = any(not line.startswith("#") for line in lines)
    return head.removeprefix("# branch.oid ") + ("+" if changed else "")
