"""Options declared once: a dataclass field with its meaning and its bounds.

What an experiment file may say of a task or a recording is made from these, so are the schema and
the messages about wrong values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from types import MappingProxyType
from typing import Any, get_type_hints

__all__ = ["Option", "option", "options"]


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


def options(owner: type) -> Mapping[str, Option]:
    """Every option of a dataclass by its name, in the order of declaration."""
    return _read(owner)


@cache
def _read(owner: type) -> Mapping[str, Option]:
    types = get_type_hints(owner)
    found = {
        f.name: Option(types[f.name], f.default, **f.metadata) for f in fields(owner) if f.init
    }
    return MappingProxyType(found)
