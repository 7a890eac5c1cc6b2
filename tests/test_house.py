"""The house: imports only go down its storeys, names have one home, files and functions an end.

What it stands on is tested at its lowest, too.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1] / "gradflow"

ROOMS = """
errors _version
core.typing core.random core.registry
core.quantity core.scaled core.cells core.inputs
core.network core.engine
core.record
core.analyses core.theory core.cost core.learning
testing
experiment.data experiment.config.text experiment.store
experiment.models experiment.recordings
experiment.config
experiment.measure
experiment.workers
experiment.run
experiment.preview
report
gate advice
integrations api __init__
cli __main__
"""
"""From the ground up; what stands on one line is next to one another."""

STOREYS = {room: height for height, line in enumerate(ROOMS.split("\n")) for room in line.split()}


def name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name(path): path for path in ROOT.rglob("*.py")}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def named(module: str) -> Iterator[str]:
    """All that a module imports, also what waits in functions or is there for types only."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (each if each in MODULES else node.module for each in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def imports(module: str) -> Iterator[str]:
    """What it imports of the house."""
    return (each for each in named(module) if each in MODULES and each != module)


def storey(module: str) -> int:
    """The height of the innermost room that a module is in; a bare package counts as its floor."""
    parts = module.split(".")[1:] or ["__init__"]
    rooms = (".".join(parts[:k]) for k in range(len(parts), 0, -1))
    return next((STOREYS[room] for room in rooms if room in STOREYS), 0)


def test_imports_only_go_down() -> None:
    up = {
        f"{module} imports {other}"
        for module in MODULES
        for other in imports(module)
        if storey(other) > storey(module)
    }
    assert not up, "\n".join(sorted(up))


def test_no_module_needs_itself() -> None:
    TopologicalSorter({each: set(imports(each)) for each in MODULES}).prepare()


def test_torch_is_for_its_door_alone() -> None:
    needing = {
        module for module in MODULES if any(each.split(".")[0] == "torch" for each in named(module))
    }
    assert needing
    known = {module: set(imports(module)) for module in MODULES}
    while more := {module for module in MODULES if needing & known[module]} - needing:
        needing |= more
    assert all(each.startswith("gradflow.integrations.") for each in needing), needing


LONGEST_FILE, LONGEST_FUNCTION = 400, 60

PROTOCOLS = {"bytes_needed", "draw", "film", "gather", "near", "nets"}
"""Functions that modules of one kind have in common: analyses, figures, readers of checkpoints."""

SURFACES = ("gradflow.cli", "gradflow.api", "gradflow.report.figures.kinds")
"""Whose names are those of what they show: commands and figures."""


def test_files_and_functions_are_no_longer_than_a_reader_follows() -> None:
    long = []
    for path in ROOT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        long += [f"{path}: {lines} lines"] if lines > LONGEST_FILE else []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{path}: {node.name} has {lines} lines")
    assert not long, "\n".join(long)


def public(module: str) -> Iterator[tuple[str, str]]:
    """Types and functions at the top of a module, each with its kind, and the module itself."""
    yield "module", module.rpartition(".")[2]
    for node in tree(module).body:
        if isinstance(node, ast.ClassDef):
            yield "type", node.name
        elif isinstance(node, ast.FunctionDef):
            yield "function", node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if re.match("[A-Z][a-z]", node.targets[0].id):  # an alias that does not say so
                yield "type", node.targets[0].id
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            alias = isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias"
            yield "type" if alias else "constant", node.target.id


def test_a_name_has_one_home() -> None:
    homes: dict[tuple[str, str], list[str]] = {}
    for module in MODULES:
        if not module.startswith(SURFACES):
            for kind, name in public(module):
                homes.setdefault((kind, name), []).append(module)
    several = {
        f"{kind} {name}: {', '.join(where)}"
        for (kind, name), where in homes.items()
        if len(where) > 1 and kind != "constant" and name not in PROTOCOLS and name[0] != "_"
    }
    assert not several, "\n".join(sorted(several))


def test_the_lowest_versions_are_those_that_are_tested() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text("utf-8"))["project"]
    tested = ("dev", "parquet", "dask", "report")  # as in the Makefile
    extras = [one for name in tested for one in project["optional-dependencies"][name]]
    bounds = [re.split(r"(?:\[\w+\])?>=", one) for one in project["dependencies"] + extras]
    text = (ROOT.parent / "constraints-lowest.txt").read_text("utf-8").lower()
    pins = dict(line.split("==") for line in text.splitlines() if not line.startswith("#"))
    zeros = re.compile(r"(\.0)+$")
    false = {n for n, bound in bounds if zeros.sub("", pins[n.lower()]) != zeros.sub("", bound)}
    assert len(bounds) > 15
    assert not false


def test_the_map_names_rooms_that_are_there() -> None:
    text = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]+(?:\.py|/))(?::\w+)?`", text))
    there = {f"/{path.relative_to(ROOT).as_posix()}" for path in ROOT.rglob("*")}
    lost = {
        each
        for each in named
        if not any(f"{one}".endswith(f"/{each.rstrip('/')}") for one in there)
    }
    assert len(named) > 40
    assert not lost - {"tests/test_house.py", "gradflow/"}, sorted(lost)
