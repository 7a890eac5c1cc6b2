"""What the shell completes: runs, kinds of figures, experiment files."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["configs", "kinds", "runs"]


def runs(incomplete: str) -> list[str]:
    """Names of stored runs, where the environment says that they are kept."""
    from gradflow.experiment.store.runs import RESULTS, list_runs

    names = [one.name for one in list_runs(Path(os.environ.get("GRADFLOW_RESULTS", RESULTS)))]
    return [name for name in names if name.startswith(incomplete)]


def kinds(incomplete: str) -> list[tuple[str, str]]:
    """Kinds of figures, and what they show."""
    from gradflow.report.figures import KINDS

    return [(name, one.summary) for name, one in KINDS.items() if name.startswith(incomplete)]


def configs(incomplete: str) -> list[str]:
    """Experiment files, and the folders on the way to one."""
    folder = Path(incomplete if incomplete.endswith(os.sep) else os.path.dirname(incomplete))
    found = []
    try:
        for path in sorted(folder.iterdir()):
            if not path.name.startswith(".") and str(path).startswith(
                incomplete.removeprefix("./")
            ):
                if path.is_dir():
                    found.append(f"{path}{os.sep}")
                elif path.suffix in (".yaml", ".yml"):
                    found.append(str(path))
    except OSError:
        return []
    return found
