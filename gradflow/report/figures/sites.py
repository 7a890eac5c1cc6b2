"""Where a curve, a map or a bar belongs in a sweep: what panels and colours are chosen by."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradflow.errors import UserError
from gradflow.report.format import axis_names, cell_name, setting

__all__ = [
    "Site",
    "at_greatest_length",
    "combinations",
    "need_lengths",
    "statistics",
    "varying",
    "words",
]

ARROWS = {"forward": "→", "backward": "←", "both": "↔"}

_WORDS = {
    ("model.bidirectional", "false"): "one direction",
    ("model.bidirectional", "true"): "both directions",
    ("model.layers", "1"): "1 layer",
}
"""Settings that read better in other words."""


@dataclass(frozen=True)
class Site:
    """A point of a sweep, its seeds together, at one place of the network.

    Parameters
    ----------
    cell, length, axes
        The point; `axes` are the other swept axes.
    place : tuple of int and str
        Layer and direction.
    seeds, sequences : int
        How many curves it stands for.
    """

    cell: str
    length: int
    axes: Mapping[str, Any]
    place: tuple[int, str]
    seeds: int
    sequences: int

    def value(self, axis: str) -> str:
        """Write the value at a swept axis; empty where this point has none."""
        return setting(self.axes[axis]) if axis in self.axes else ""

    def at(self, dim: str) -> Hashable:
        """Return where it stands along ``cell``, ``length``, ``layer``, ``direction``, an axis."""
        if dim in ("cell", "length"):
            found: Hashable = getattr(self, dim)
            return found
        if dim in ("layer", "direction"):
            return self.place[dim == "direction"]
        return self.value(dim)


def need_lengths(kind: str, sites: Sequence[Site], example: str = "[16, 64, 256]") -> None:
    """Refuse to draw against the length where all have the same.

    Raises
    ------
    UserError
        That says what to sweep.
    """
    lengths = {one.length for one in sites}
    if len(lengths) < 2:
        raise UserError(
            f"kind {kind} needs more than one length; this run has {lengths.pop()} only\n"
            f"  fix: sweep it, for example  length: {example}"
        )


def varying(sites: Sequence[Site]) -> list[str]:
    """Return the swept axes, other than cell and length, with more than one value."""
    paths = dict.fromkeys(path for site in sites for path in site.axes)
    return [path for path in paths if len({site.value(path) for site in sites}) > 1]


def combinations(sites: Iterable[Site], dims: Sequence[str]) -> list[tuple[Hashable, ...]]:
    """List the combinations of values that there are, in the order of the sites."""
    return list(dict.fromkeys(tuple(site.at(dim) for dim in dims) for site in sites))


def at_greatest_length(sites: Sequence[Any]) -> list[Any]:
    """Keep, of sites equal in all but length, the one of the greatest."""
    best: dict[object, Site] = {}
    for site in sites:
        key = (site.cell, site.place, *(site.value(path) for path in site.axes))
        if key not in best or site.length > best[key].length:
            best[key] = site
    return list(best.values())


def statistics(sites: Sequence[Site], what: str = "median and 10–90 %") -> str:
    """Say what lines and bands stand for."""
    seeds, sequences = (max(getattr(s, name) for s in sites) for name in ("seeds", "sequences"))
    if seeds * sequences == 1:
        return ""
    many = [f"{n} {word}" for n, word in ((seeds, "seeds"), (sequences, "sequences")) if n > 1]
    return f"{what} of {' × '.join(many)}"


def words(values: Mapping[str, Hashable]) -> str:
    """Write where something stands along some dimensions: ``both directions, layer 1 ←``."""
    names = axis_names(dim for dim in values if "." in dim)
    written: list[str] = []
    for dim, value in values.items():
        if value == "":
            continue
        if dim == "direction":
            arrow = ARROWS.get(str(value), str(value))
            written.append(f"{written.pop()} {arrow}" if written else f"{value} {arrow}")
        elif dim == "length":
            written.append(f"T = {value}")
        elif dim == "layer":
            written.append(f"layer {value}")
        elif dim == "model.layers":
            written.append(_WORDS.get((dim, str(value)), f"{value} layers"))
        elif dim == "cell":
            written.append(cell_name(str(value)))
        else:
            written.append(_WORDS.get((dim, str(value)), f"{names.get(dim, dim)} {value}"))
    return ", ".join(written)
