"""The baseline: what the gate expects, in a file that is committed and reads well as a diff."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gradflow.errors import NoBaselineError, UserError
from gradflow.experiment.store.manifest import DamagedError
from gradflow.experiment.store.names import BASELINES
from gradflow.experiment.store.whole import write_atomic
from gradflow.gate.cases import Case
from gradflow.gate.compare import Finding, compare

__all__ = [
    "Change", "baseline_path", "examine_baselines", "merge", "read_baseline", "write_baseline",
]  # fmt: skip

FORMAT = 1


@dataclass(frozen=True)
class Change:
    """What a new baseline makes of the old one; `findings` are those that it accepts.

    `news` says what is not as it was when the experiment was run last.
    """

    findings: tuple[Finding, ...]
    kept: int
    total: int
    news: tuple[str, ...] = ()


def baseline_path(name: str, out: Path) -> Path:
    """Return where the baseline of experiment `name` lies, beside the runs in `out`."""
    return out / BASELINES / f"{name}.json"


def read_baseline(path: Path) -> dict[str, Case]:
    """Read the expected cases by name.

    Raises
    ------
    NoBaselineError
        If there is no such file.
    UserError
        If it is not a baseline.
    """
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise UserError(
                f"{path} is a baseline of format {content['format']}, this is format {FORMAT}\n"
                "  fix: write it anew with gradflow baseline"
            )
        cases = content["cases"].items()
    except FileNotFoundError as error:
        raise NoBaselineError(f"there is no baseline {path}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _broken(path, f"{type(error).__name__}: {error}") from error
    return {name: _case(path, name, fields) for name, fields in cases}


def examine_baselines(out: Path) -> list[DamagedError]:
    """Return an error for each file among the baselines in `out` that cannot be read as one."""
    found = []
    for path in sorted(baseline_path("*", out).parent.glob("*.json")):
        try:
            read_baseline(path)
        except (UserError, OSError) as error:
            problem, _, fix = str(error).partition("\n  fix: ")
            problem = problem.removeprefix(f"{path} ")
            found.append(
                DamagedError(path, problem, fix or "restore it from where it is committed")
            )
    return found


def _case(path: Path, name: str, fields: Any) -> Case:
    try:
        return Case.from_json(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _broken(path, f"{name}: {where}: {first['msg']}") from None
    except (ValueError, OverflowError) as error:
        raise _broken(path, f"{name}: {error}") from None


def _broken(path: Path, problem: str) -> UserError:
    return UserError(
        f"{path} is not a baseline ({problem})\n"
        "  fix: restore it, or write it anew with gradflow baseline"
    )


def write_baseline(path: Path, cases: Mapping[str, Case]) -> None:
    """Write the cases, one a line and sorted."""
    lines = (f"  {json.dumps(name)}: {cases[name].as_json()}" for name in sorted(cases))
    text = '{\n "cases": {\n' + ",\n".join(lines) + f'\n }},\n "format": {FORMAT}\n}}\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())


def merge(
    old: Mapping[str, Case], new: Mapping[str, Case], tolerance: float
) -> tuple[dict[str, Case], Change]:
    """Return `new`, but with the old numbers of every case that still passes.

    Otherwise each rewrite on another machine would change the last digits of every line, and the
    lines that matter would be lost among them.
    """
    findings = compare(old, new, tolerance)
    changed = {finding.case for finding in findings}
    kept = {
        name
        for name in old.keys() & new.keys()
        if name not in changed and (old[name].slack is None) == (new[name].slack is None)
    }
    merged = {name: old[name] if name in kept else case for name, case in new.items()}
    return merged, Change(tuple(findings), len(kept), len(merged))
