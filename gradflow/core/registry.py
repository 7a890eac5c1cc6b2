"""Classes found by name: built in, registered in Python, or installed with one's own package."""

from __future__ import annotations

import inspect
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Classes of one kind by their names.

    A package adds to it by `add`, or by an entry point that names the class, so that an experiment
    file can ask for it without importing code by itself::

        [project.entry-points."gradflow.cells"]
        mycell = "mypackage:MyCell"

    Parameters
    ----------
    group : str
        The entry points' group.
    key : str
        The attribute of a class that holds its name.
    """

    def __init__(self, group: str, key: str) -> None:
        self.group, self.key = group, key
        self.known: dict[str, type[T]] = {}

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}

    def add(self, thing: type[T]) -> type[T]:
        """Make a class known under its name; usable as a class decorator.

        Raises
        ------
        ValueError
            If the class is abstract, or its name belongs to another class already.
        """
        if inspect.isabstract(thing):
            missing = ", ".join(sorted(getattr(thing, "__abstractmethods__")))  # noqa: B009
            raise ValueError(f"{thing.__name__} cannot be registered: it does not define {missing}")
        name = str(getattr(thing, self.key))
        if self.known.setdefault(name, thing) is not thing:
            owner = self.known[name].__name__
            raise ValueError(f"the {self.key} {name!r} belongs to {owner}")
        return thing

    def names(self) -> tuple[str, ...]:
        """Every name: the built-in ones, then others in order of registration."""
        return (*self.known, *(name for name in self._installed if name not in self.known))

    def get(self, name: str) -> type[T]:
        """Return the class of a name.

        Raises
        ------
        KeyError
            If nothing of that name is registered or installed.
        """
        if name not in self.known and name in self._installed:
            self.add(self._installed[name].load())
        return self.known[name]
