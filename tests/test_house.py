"""The house: imports only go down its storeys, and no module needs itself on the way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
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


def named(module: str, *, lazy: bool) -> Iterator[str]:
    """All that a module imports; what waits in functions or is there for types only if `lazy`."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (each if each in MODULES else node.module for each in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def imports(module: str, *, lazy: bool) -> Iterator[str]:
    """What it imports of the house."""
    return (each for each in named(module, lazy=lazy) if each in MODULES and each != module)


def storey(module: str) -> int:
    """The height of the innermost room that a module is in; a bare package counts as its floor."""
    parts = module.split(".")[1:] or ["__init__"]
    rooms = (".".join(parts[:k]) for k in range(len(parts), 0, -1))
    return next((STOREYS[room] for room in rooms if room in STOREYS), 0)


def test_imports_only_go_down() -> None:
    up = {
        f"{module} imports {other}"
        for module in MODULES
        for other in imports(module, lazy=True)
        if storey(other) > storey(module)
    }
    assert not up, "\n".join(sorted(up))


def test_no_module_needs_itself() -> None:
    TopologicalSorter({each: set(imports(each, lazy=False)) for each in MODULES}).prepare()


def test_torch_is_for_its_door_alone() -> None:
    needing = {
        module
        for module in MODULES
        if any(each.split(".")[0] == "torch" for each in named(module, lazy=True))
    }
    assert needing
    while more := {m for m in MODULES if needing & set(imports(m, lazy=True))} - needing:
        needing |= more
    assert all(each.startswith("gradflow.integrations.") for each in needing), needing
