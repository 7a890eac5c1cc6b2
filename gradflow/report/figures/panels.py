"""What has a panel of its own, and where it stands: rows and columns along what varies."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Generic, TypeVar

from gradflow.report.figures.sites import Site, combinations, varying, words
from gradflow.report.format import axis_names
from gradflow.report.read.pairs import RUN

__all__ = ["Grid", "Panel", "Strip", "common_ranges", "evenly", "facets", "in_columns"]

PANELS = 6
"""Panels in a figure, where lengths can be left out."""

MOST = 12
"""Panels in a figure in any case."""

ACROSS = 4
"""Columns that a page is wide enough for."""

GAPS = 1.25
"""How many more places than panels a grid may have; else the panels stand in lines."""

FLATTEST = 6.0
"""How much more than the usual panel's a common range may span."""

S = TypeVar("S", bound=Site)


@dataclass(frozen=True, eq=False)
class Panel(Generic[S]):
    """Spots that share a pair of axes, at a row and a column of the figure."""

    row: int
    column: int
    sites: tuple[S, ...]


@dataclass(frozen=True, eq=False)
class Strip(Panel[S]):
    """One of several panels of the same spots, and what it shows of them."""

    shows: str


@dataclass(frozen=True, eq=False)
class Grid(Generic[S]):
    """The panels of a figure.

    Parameters
    ----------
    panels : tuple of Panel
        In reading order; some places of the grid may have none.
    titles : tuple of str
        Above each column or, where `rows` is empty, above each panel.
    rows : tuple of str
        Beside each row.
    heading : str
        What all panels share.
    note : str
        What was left out, in words; empty if nothing was.
    """

    panels: tuple[Panel[S], ...]
    titles: tuple[str, ...]
    rows: tuple[str, ...]
    heading: str
    note: str

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows and columns there are."""
        return max(p.row for p in self.panels) + 1, max(p.column for p in self.panels) + 1

    def title(self, panel: Panel[S]) -> str:
        """Return what stands above a panel; below the first row of a grid nothing does."""
        if not self.rows:
            return self.titles[self.panels.index(panel)]
        first = min(p.row for p in self.panels if p.column == panel.column)
        return self.titles[panel.column] if panel.row == first else ""


def facets(sites: Sequence[S], inside: Collection[str]) -> Grid[S]:
    """Split sites by all that is not told apart `inside` a panel.

    Two things that vary have rows and columns of their own; one alone is laid out in lines.

    Parameters
    ----------
    sites : sequence of Site
        Of one figure.
    inside : collection of str
        ``cell``, ``length``, ``layer``, ``direction`` or dotted paths of swept axes.

    Returns
    -------
    Grid
        With at most `PANELS`, where leaving out lengths can do it, and `MOST` in any case.
    """
    outside = [
        dim
        for dim in ("cell", *varying(sites), "length", "layer", "direction")
        if dim not in inside
    ]
    kept, notes = _thinned(sites, outside)
    rows, columns = _sides(kept, _told_apart(kept, outside))
    heading, note = words(_shared(sites, kept)), "; ".join(notes)
    if not rows or not columns:
        return _lines(kept, rows or columns, heading, note)
    down, right = _ordered(kept, rows), _ordered(kept, columns)
    panels = []
    for (i, row), (j, column) in itertools.product(enumerate(down), enumerate(right)):
        own = _with(kept, [*rows, *columns], (*row, *column))
        if own:
            panels.append(Panel(i, j, own))
    return Grid(
        tuple(panels), _written(right, columns), _written(down, rows), heading=heading, note=note
    )


def in_columns(sites: Sequence[S], shows: Sequence[str]) -> Grid[S]:
    """Give each of a few settings a column, and in it a `Strip` for each of what is shown."""
    whole = facets(sites, ())
    chosen = evenly(whole.panels, ACROSS)
    parts = [
        Strip(row, column, panel.sites, what)
        for row, what in enumerate(shows)
        for column, panel in enumerate(chosen)
    ]
    rows = [(whole.rows[panel.row] if whole.rows else "") for panel in chosen]
    columns = [(whole.titles[p.column] if whole.rows else whole.title(p)) for p in chosen]
    titles = [", ".join(filter(None, both)) for both in zip(rows, columns, strict=True)]
    note = f"{len(chosen)} of {len(whole.panels)} settings"
    notes = filter(None, [whole.note, note if len(chosen) < len(whole.panels) else ""])
    above = tuple(titles[part.column] if part.row == 0 else "" for part in parts)
    return Grid(tuple(parts), above, (), whole.heading, "; ".join(notes))


def common_ranges(
    grid: Grid[S], extent: Callable[[Sequence[S]], tuple[float, float]]
) -> dict[Panel[S], tuple[float, float]]:
    """Give panels of one length the same range, so that they can be compared.

    They keep their own where that would press most of them flat.
    """
    own = {panel: extent(panel.sites) for panel in grid.panels}
    found = {}
    for panel in grid.panels:
        reach = {site.length for site in panel.sites}
        peers = [own[p] for p in grid.panels if {site.length for site in p.sites} == reach]
        low, high = min(low for low, _ in peers), max(high for _, high in peers)
        middle = median(max(top - bottom, 2.0) for bottom, top in peers)
        found[panel] = (low, high) if high - low <= FLATTEST * middle else own[panel]
    return found


def evenly(items: Sequence[Any], most: int) -> list[Any]:
    """Choose `most` items evenly, the first and the last among them; a single one is the last."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[-1]]
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _lines(kept: Sequence[S], dims: Sequence[str], heading: str, note: str) -> Grid[S]:
    """Lay out the values of one thing as the lines of a page."""
    keys = _ordered(kept, dims)
    across = min(len(keys), 2 if len(keys) in (2, 4) else 3)
    panels = (Panel(i // across, i % across, _with(kept, dims, key)) for i, key in enumerate(keys))
    return Grid(tuple(panels), _written(keys, dims), (), heading, note)


def _thinned(sites: Sequence[S], outside: Sequence[str]) -> tuple[list[S], list[str]]:
    """Leave out lengths, then layers, then values of axes, then cells, as far as need be.

    Of two runs over one another both stay.
    """
    kept, notes = list(sites), []
    others = [dim for dim in outside if dim not in ("cell", "length", "layer", "direction", RUN)]
    others.sort(key=lambda dim: -len(combinations(sites, [dim])))
    for dim in ("length", "layer", *others, "cell", "direction"):
        if dim not in outside:
            continue
        most = PANELS if dim == "length" else MOST
        if len(combinations(kept, outside)) <= most:
            continue
        values = [key[0] for key in _ordered(kept, [dim])]
        rest = len(combinations(kept, [d for d in outside if d != dim]))
        chosen = evenly(values, max(1, most // rest))
        if dim == "layer" and len(chosen) == 1:
            chosen = values[:1]  # the farthest from the loss
        if len(chosen) < len(values):
            kept = [site for site in kept if site.at(dim) in chosen]
            notes.append(_left_out(dim, len(chosen), len(values)))
    return kept, notes


def _left_out(dim: str, chosen: int, values: int) -> str:
    name = dim if "." not in dim else f"value of {axis_names([dim])[dim]}"
    names = f"{name}s" if "." not in dim else name.replace("value", "values", 1)
    alone = {"length": "the longest", "layer": "the lowest"}.get(dim, "the last")
    return f"{alone if chosen == 1 else chosen} of {values} {names}"


def _told_apart(kept: Sequence[Site], outside: Sequence[str]) -> list[str]:
    """Return what varies, but for a direction that follows from the rest."""
    dims = [dim for dim in outside if len(combinations(kept, [dim])) > 1]
    rest = [dim for dim in dims if dim != "direction"]
    return rest if len(combinations(kept, rest)) == len(combinations(kept, dims)) else dims


def _shared(sites: Sequence[Site], kept: Sequence[Site]) -> dict[str, Hashable]:
    """Return what all panels share: cell and length, and what only one is left of."""
    dims = ("cell", *varying(sites), "length", "layer", "direction")
    alone = [dim for dim in dims if len(combinations(kept, [dim])) == 1]
    told = [d for d in alone if d in ("cell", "length") or len(combinations(sites, [d])) > 1]
    return {dim: kept[0].at(dim) for dim in told}


def _sides(kept: Sequence[Site], dims: Sequence[str]) -> tuple[list[str], list[str]]:
    """Choose what varies along rows and columns: few gaps, not too wide, layers below another."""
    if len(dims) < 2:
        return [], list(dims)

    def cost(down: Sequence[str]) -> tuple[bool, int, int]:
        right = [dim for dim in dims if dim not in down]
        rows, columns = (len(combinations(kept, side)) for side in (down, right))
        misplaced = [(dim in down) != (dim in ("layer", "length")) for dim in dims]
        return columns > ACROSS, rows * columns, sum(misplaced)

    sides = [down for n in range(1, len(dims)) for down in itertools.combinations(dims, n)]
    rows = min(sides, key=cost)
    if cost(rows)[1] >= GAPS * len(combinations(kept, dims)):
        return [], list(dims)
    return list(rows), [dim for dim in dims if dim not in rows]


def _ordered(kept: Sequence[Site], dims: Sequence[str]) -> list[tuple[Hashable, ...]]:
    """Sort what there is: numbers ascending, all else as in the sweep."""
    orders: list[list[Any]] = []
    for dim in dims:
        values = [key[0] for key in combinations(kept, [dim])]
        numbers: list[Any] = [value for value in values if isinstance(value, int)]
        orders.append(sorted(numbers) if numbers else values)
    return sorted(
        combinations(kept, dims),
        key=lambda key: [order.index(v) for order, v in zip(orders, key, strict=True)],
    )


def _with(kept: Sequence[S], dims: Sequence[str], key: tuple[Hashable, ...]) -> tuple[S, ...]:
    return tuple(site for site in kept if tuple(site.at(dim) for dim in dims) == key)


def _written(keys: Sequence[tuple[Hashable, ...]], dims: Sequence[str]) -> tuple[str, ...]:
    return tuple(words(dict(zip(dims, key, strict=True))) for key in keys)
