"""Which keys of the experiment file, and what else, had other values when two runs were made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradflow.experiment.store.runs import Point, Run
from gradflow.report.format import setting

if TYPE_CHECKING:
    from gradflow.experiment.run import Finished

__all__ = ["KeyChange", "key_changes", "news", "surroundings"]

SECTIONS = ("model", "inputs", "init", "train", "loss", "method", "length", "dtype", "seed")
"""The file's keys in the order in which a change of them is told; others follow."""

TOLD = 6
"""How many keys are told of an experiment that took another's place."""

LEADING = ("cell", "kind", "weights", "path")
"""Keys that decide which others their section has."""

DERIVED = ("sha256", "resolved")
"""What a run keeps beside a path: it follows from the file, not from a key."""


@dataclass(frozen=True)
class KeyChange:
    """A key of the file whose values differ, written out as each run has them."""

    key: str
    a: str
    b: str


def key_changes(a: Sequence[Point], b: Sequence[Point]) -> list[KeyChange]:
    """Return the keys of the file that have other values among the points of two runs.

    They come in the file's order, and what follows from another key last.
    """
    left, right = (_by_key(_flat(point) for point in points) for points in (a, b))
    return _changes(left, right)


def surroundings(a: Run, b: Run) -> Iterator[KeyChange]:
    """Yield the code and the versions that only one of two runs was measured with."""
    for name, part in (("code of ", "code"), ("", "environments")):
        sides = []
        for run in (a, b):
            rows = run.environments if part == "environments" else [p.code for p in run.points]
            sides.append(_by_key({name + k: setting(v) for k, v in r.items()} for r in rows))
        yield from _changes(*sides)


def news(finished: Finished) -> tuple[str, ...]:
    """Say what is not as it was when a folder was run last: its code, its files, its experiment."""
    said = []
    if finished.changed:
        said.append(f"measured again, because it has changed: {', '.join(finished.changed)}")
    if finished.before is not None:
        told = key_changes(_asked(finished.before), _asked(finished.run))
        keys = [
            f"{one.key} {one.a} → {one.b}" for one in told if one.key.split(".")[-1] not in DERIVED
        ]
        some = "; ".join(keys[:TOLD]) + (f"; and {len(keys) - TOLD} more" if keys[TOLD:] else "")
        if some:
            said.append(f"{finished.run.path} held another experiment: {some}")
        if finished.aside is not None:
            said.append(f"what was drawn of it is in {finished.aside} now")
        said.append("its points are kept: run it again to have it back, or name=NEW to have both")
    return tuple(said)


def _asked(run: Run) -> tuple[Point, ...]:
    return (*run.points, *run.missing)


def _by_key(rows: Iterable[dict[str, str]]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        for key, value in row.items():
            found.setdefault(key, {})[value] = None
    return {key: list(values) for key, values in found.items()}


def _changes(a: Mapping[str, list[str]], b: Mapping[str, list[str]]) -> list[KeyChange]:
    keys = [key for key in dict.fromkeys([*a, *b]) if set(a.get(key, ())) != set(b.get(key, ()))]
    return [
        KeyChange(key, _list(a.get(key, ())), _list(b.get(key, ())))
        for key in sorted(keys, key=_rank)
    ]


def _rank(key: str) -> tuple[bool, int, bool]:
    first, last = key.split(".")[0], key.split(".")[-1]
    section = SECTIONS.index(first) if first in SECTIONS else len(SECTIONS)
    return last in DERIVED, section, last not in LEADING


def _list(values: Sequence[str], most: int = 6) -> str:
    """Write some values on a line, the middle left out where there are many."""
    if len(values) <= most:
        return ", ".join(values) or "–"
    return f"{', '.join(values[:3])}, …, {values[-1]} ({len(values)} values)"


def _flat(point: Point) -> dict[str, str]:
    """A point's keys by their dotted paths: those of a section, and what stands in none."""
    found = {"model.cell": point.cell, "length": str(point.length), "seed": str(point.seed)}
    for section, value in point.settings.items():
        parts = value if isinstance(value, Mapping) else {}
        found |= {f"{section}.{key}": setting(part) for key, part in parts.items()}
        found |= {} if isinstance(value, Mapping) else {section: setting(value)}
    return found | {"model.cell": point.cell}
