"""What a result was computed with: versions, linear algebra, processor, commit."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from gradflow._version import __version__

__all__ = ["environment"]


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
