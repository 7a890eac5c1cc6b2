"""A tree of plain values in which every key and every value knows where it was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from typing import Any, NamedTuple, TypeAlias

from gradflow.errors import ConfigError, visible

__all__ = ["Node", "Path", "Place", "as_node", "spell"]

Path: TypeAlias = tuple[str | int, ...]
"""The way to a value: keys of mappings and indices of lists."""

LARGEST = 2**63 - 1
"""Whole numbers beyond this fit no array and no random stream."""


class Place(NamedTuple):
    """Where something was written; lines and columns count from 1."""

    file: str = "<config>"
    line: int = 1
    column: int = 1

    def error(
        self, problem: str, *, key: str = "", expected: str = "", fix: str = ""
    ) -> ConfigError:
        """Return the error that points here."""
        words = {"key": key, "expected": expected, "fix": fix}
        return ConfigError(
            visible(problem),
            file=visible(self.file),
            line=self.line,
            column=self.column,
            **{name: visible(word) for name, word in words.items()},
        )


NOWHERE = Place()


@dataclass(frozen=True)
class Node:
    """A value and its place.

    Parameters
    ----------
    value : scalar, tuple of Node or mapping of str to Node
        The value, whose parts are nodes again.
    place : Place
        Where it begins.
    keys : mapping of str to Place
        For a mapping, where each key stands.
    """

    value: Any
    place: Place = NOWHERE
    keys: Mapping[str, Place] = field(default_factory=dict)

    @property
    def plain(self) -> Any:
        """The value without places; lists are tuples."""
        if isinstance(self.value, dict):
            return {key: node.plain for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return tuple(node.plain for node in self.value)
        return self.value

    def at(self, path: Path) -> Node | None:
        """Return the node at the end of a path, None where there is none."""
        node = self
        for step in path:
            inside = node.value
            if isinstance(inside, dict) and step in inside:
                node = inside[str(step)]
            elif isinstance(inside, tuple) and isinstance(step, int) and step < len(inside):
                node = inside[step]
            else:
                return None
        return node

    def locate(self, path: Path, *, key: bool = False) -> Place:
        """Return the place of the value at a path, or of what encloses it where it is missing.

        With `key`, the place of the key instead of its value's.
        """
        if key and path and (parent := self.at(path[:-1])) and path[-1] in parent.keys:
            return parent.keys[str(path[-1])]
        while (node := self.at(path)) is None:
            path = path[:-1]
        return node.place

    def put(self, path: tuple[str, ...], node: Node, key: Place | None = None) -> Node:
        """Return a copy with `node` at `path`; mappings on the way are made where missing.

        `key` is the place of the keys that are new, else it is the node's.
        """
        if not path:
            return node
        first, *rest = path
        here = self if isinstance(self.value, dict) else Node({}, node.place)
        child = here.value.get(first, Node({}, node.place)).put(tuple(rest), node, key)
        return replace(
            here,
            value={**here.value, first: child},
            keys={**here.keys, first: here.keys.get(first, key or node.place)},
        )

    def without(self, key: str) -> Node:
        """Return a copy of a mapping that lacks a key."""
        return replace(self, value={k: v for k, v in self.value.items() if k != key})


def as_node(value: Any, place: Place = NOWHERE, key: str = "") -> Node:
    """Make a tree of Python's own values, all at one place.

    NumPy's numbers and arrays, ranges and paths are taken for what they hold.

    Raises
    ------
    ConfigError
        If a value is none of the kinds that an experiment file can hold.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        inside = {str(k): as_node(v, place, f"{key}.{k}".strip(".")) for k, v in value.items()}
        return Node(inside, place, dict.fromkeys(inside, place))
    if isinstance(value, PathLike):
        return Node(fspath(value), place)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST:
        raise place.error(**out_of_range(key))
    if value is None or isinstance(value, bool | int | float | str):
        return Node(value, place)
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        parts = (as_node(v, place, f"{key}[{i}]") for i, v in enumerate(value))
        return Node(tuple(parts), place)
    raise place.error(
        f"a {type(value).__name__} has no place in an experiment",
        key=key,
        expected="text, a number, true or false, null, a list or a mapping",
    )


def out_of_range(key: str = "") -> dict[str, str]:
    """Words for a whole number that is out of range."""
    return {
        "problem": "this whole number is out of range",
        "key": key,
        "expected": f"a whole number of at most {LARGEST} in size",
    }


def spell(path: Path) -> str:
    """Write a path as users do: ``sweep.length[2]``."""
    words = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(words).removeprefix(".")
