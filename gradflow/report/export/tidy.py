"""The rows of a run: one number each, with everything that tells it from the others.

A run that holds more than norms (paths, contributions, gates, flow maps, spectra, …) has more
columns: `PLACES`, the axes of recordings of one's own by their names, and `LAST`. ``state`` is then
the quantity's name, and what is not a logarithm stands under ``value``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradflow.core.quantity import SERIES, Quantity
from gradflow.core.typing import Array
from gradflow.experiment.store.runs import Run
from gradflow.report.read.records import COLUMNS, original_step

__all__ = [
    "LAST",
    "NAMES",
    "PLACES",
    "TidyRows",
    "columns",
    "own_axes",
    "scalar",
    "swept",
    "tidy_rows",
]

NAMES = (
    "cell",
    "length",
    "seed",
    "sequence",
    "layer",
    "direction",
    "state",
    "step",
    "lag",
    "log10_norm",
)
"""Columns after those of the other swept axes."""

PLACES = ("gate", "loss_step", "vector", "k2", "update")
"""Columns after those, where a run holds more than norms along time; own axes follow."""

LAST = ("label", "value")
"""The last columns then."""

LABELS = ("prediction", "count", "kind", "figure")
"""Axes whose names go into the column ``label``."""


@dataclass(frozen=True)
class TidyRows:
    """Rows that differ in step, lag and number only.

    Parameters
    ----------
    constant : tuple
        The columns in front: swept axes, cell, length, seed, sequence, layer, direction, state.
    step, lag : array (n,) or None
        Original time (a backward direction's step j is T + 1 − j), steps back from the
        direction's last loss (negative after it); None where there is no time or no one loss.
    numbers : array (n,)
        What was recorded.
    log10 : bool
        Whether these are logarithms of norms.
    more : tuple
        What a run with more than norms has further columns for, but for the value.
    """

    constant: tuple[Any, ...]
    step: Array | None
    lag: Array | None
    numbers: Array
    log10: bool = True
    more: tuple[Any, ...] = ()

    @property
    def size(self) -> int:
        """How many rows."""
        return int(self.numbers.size)

    def lists(self) -> list[list[Any]]:
        """Step, lag and log10_norm of every row, what more there is, and the value."""
        nothing = [None] * self.size
        step, lag = (nothing if a is None else a.tolist() for a in (self.step, self.lag))
        numbers = self.numbers.tolist()
        more = [[value] * self.size for value in self.more]
        norm, value = (numbers, nothing) if self.log10 else (nothing, numbers)
        return [step, lag, norm, *more, value]


def columns(run: Run) -> tuple[str, ...]:
    """Name the columns: swept axes that have none of their own, `NAMES`, and more if needed."""
    more = (*PLACES, *own_axes(run), *LAST) if _holds_more(run) else ()
    return (*swept(run), *NAMES, *more)


def tidy_rows(run: Run, own: Iterable[str] = ()) -> Iterator[TidyRows]:
    """Go through all numbers of a run, one result in memory at a time; `own` are `own_axes`."""
    axes, places = swept(run), (*PLACES, *own)
    for point in run.points:
        result = run.result(point)
        front = (
            *(scalar(point.axes.get(axis)) for axis in axes),
            point.cell,
            point.length,
            point.seed,
        )
        for quantity in result.values():
            yield from _rows(front, quantity, point.length, places)


def _rows(
    front: tuple[Any, ...], quantity: Quantity, length: int, places: Sequence[str]
) -> Iterator[TidyRows]:
    """Go through a quantity in the order of its axes, time innermost."""
    dims, coords = quantity.dims, quantity.coords
    others = [axis for axis, name in enumerate(dims) if name != "step"]
    values = np.moveaxis(quantity.values, others, range(len(others)))
    for place in np.ndindex(values.shape[: len(others)]):
        at = {
            dims[axis]: coords[dims[axis]][i].item() if dims[axis] in coords else i
            for axis, i in zip(others, place, strict=True)
        }
        index = {dims[axis]: i for axis, i in zip(others, place, strict=True)}
        if not quantity.exists(**index):
            continue
        way = at.get("direction")
        step, lag, kept = _time(quantity, index, str(way), length)
        where = (at.get("sequence"), at.get("layer"), way, quantity.name)
        label = next((at[name] for name in LABELS if name in at), None)
        yield TidyRows(
            constant=(*front, *where),
            step=step,
            lag=lag,
            numbers=np.atleast_1d(values[place])[kept],
            log10=quantity.unit == "log10",
            more=(*(at.get(name) for name in places), label),
        )


def _time(
    quantity: Quantity, index: dict[str, int], way: str, length: int
) -> tuple[Array | None, Array | None, Any]:
    """Step and lag of each number, and which there are: none after the end of a sequence."""
    coords = quantity.coords
    kept: Any = slice(None)
    if "step" not in quantity.dims:
        return None, None, kept
    own = np.asarray(coords["step"])
    if "length" in coords and "sequence" in index:
        length = int(coords["length"][index["sequence"]])
        kept = own <= length
    step, lag = original_step(own, way, length)[kept], None
    if "lag" in coords:
        lags = np.atleast_2d(coords["lag"])[index.get("direction", 0)]
        lag = (lags[index["sequence"]] if lags.ndim > 1 else lags)[kept]
    return step, lag, kept


def _quantities(run: Run) -> Iterator[Quantity]:
    """What there is: the first point of each cell tells."""
    firsts = {point.cell: point for point in reversed(run.points)}
    for point in firsts.values():
        yield from run.result(point).values()


def _holds_more(run: Run) -> bool:
    """Whether there is more than norms along time."""
    return any(one.dims != SERIES or one.unit != "log10" for one in _quantities(run))


def own_axes(run: Run) -> dict[str, type]:
    """Axes of quantities that have no column otherwise, with the type of their labels."""
    known = {*SERIES, *PLACES, *LABELS}
    kinds = {"i": int, "u": int, "f": float}
    return {
        axis: kinds.get(np.asarray(one.coords.get(axis, 0)).dtype.kind, str)
        for one in _quantities(run)
        for axis in one.dims
        if axis not in known
    }


def swept(run: Run) -> list[str]:
    """Return the swept axes that have no column of their own."""
    paths = dict.fromkeys(path for point in run.points for path in point.axes)
    return [path for path in paths if path not in COLUMNS]


def scalar(value: Any) -> Any:
    """Leave a number, a truth value, a text or nothing as it is; write all else as JSON."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return json.dumps(value, ensure_ascii=False, default=_items)


def _items(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) else str(value)
