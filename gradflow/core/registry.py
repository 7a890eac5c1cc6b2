"""Classes found by name, and their options declared once."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Generic, TypeVar, get_type_hints

from gradflow.errors import UserError

__all__ = ["Option", "Registry", "given", "option", "options"]

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
            missing = ", ".join(sorted(vars(thing)["__abstractmethods__"]))
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
        UserError
            If nothing of that name is registered or installed in this process.
        """
        if name not in self.known and name in self._installed:
            self.add(self._installed[name].load())
        if name not in self.known:
            raise UserError(
                f"the {self.key} {name!r} is not known in this process\n"
                f"  fix: register it in a module that every process imports, by an entry point of "
                f"{self.group}, or take one job"
            )
        return self.known[name]


@dataclass(frozen=True)
class Option:
    """What is known of an option.

    Parameters
    ----------
    type : type
        Of the value, or of each of the values of a tuple.
    default : value
        `dataclasses.MISSING` where it has to be given.
    summary : str
        What it is, in a few words, with its unit.
    least, most : float or None
        Bounds of the value, or of each of the values.
    """

    type: Any
    default: Any
    summary: str = ""
    least: float | None = None
    most: float | None = None

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is MISSING


def option(
    default: Any = MISSING,
    summary: str = "",
    *,
    least: float | None = None,
    most: float | None = None,
) -> Any:
    """Declare a field of a dataclass that a user may set; see `Option`."""
    meta = {"summary": summary, "least": least, "most": most}
    return field(default=default, metadata=meta)


def given(default: Any = MISSING) -> Any:
    """Declare a field of a dataclass that is no option: the house hands it in."""
    return field(default=default, metadata={"given": True})


def options(owner: type) -> Mapping[str, Option]:
    """Every option of a dataclass by its name, in the order of declaration."""
    return _read(owner)


@cache
def _read(owner: type) -> Mapping[str, Option]:
    types = get_type_hints(owner)
    found = {
        f.name: Option(types[f.name], f.default, **f.metadata)
        for f in fields(owner)
        if f.init and "given" not in f.metadata
    }
    return MappingProxyType(found)
