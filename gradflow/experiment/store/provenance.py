"""What a result was computed with: versions, linear algebra, processor, commit."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from gradflow import core
from gradflow._version import __version__
from gradflow.core import ENGINE, cells

__all__ = ["environment"]


def environment(where: Path = Path()) -> dict[str, Any]:
    """Describe this process; `where` is a folder whose git commit counts."""
    return {
        "gradflow": __version__,
        "engine": ENGINE,
        "code": _code(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": _blas(),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "commit": _commit(where),
    }


def _code() -> str:
    """Digest the source of the core and of every registered cell, wherever it comes from."""
    modules = (sys.modules[cells.get(name).__module__] for name in cells.names())
    found = (getattr(module, "__file__", None) for module in modules)
    files = {*Path(core.__file__).parent.rglob("*.py"), *(Path(file) for file in found if file)}
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


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
    head, changes = _git(where, "rev-parse", "HEAD"), _git(where, "status", "--porcelain", "-uno")
    return None if head is None else head + ("+" if changes else "")


def _git(where: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(where), *words], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
