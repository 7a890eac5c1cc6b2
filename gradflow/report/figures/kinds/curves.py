"""The curves themselves: norm against lag or step, a panel for each length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.figure import Figure

from gradflow.errors import UserError
from gradflow.report.figures.data import Band, finite_range, gather
from gradflow.report.figures.facets import Panel, common_ranges, facets
from gradflow.report.figures.frame import figure
from gradflow.report.figures.hues import Hue, hue
from gradflow.report.figures.lines import X
from gradflow.report.figures.spots import statistics
from gradflow.report.figures.style import decade_axis, limits, norm_label, whole_axis
from gradflow.report.read.records import Run, default_state

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw", "draw_curves"]


def draw(bands: Sequence[Band], state: str, x: str) -> Figure:
    """Draw the curves of one state: by colour what has most values, a panel for all else."""
    shown = hue(bands)
    grid = facets(bands, {shown.axis})
    ranges = common_ranges(grid, finite_range)

    def panel(ax: Axes, one: Panel[Band]) -> list[str]:
        ax.set_ylabel(norm_label(state))
        ax.set_xlabel(X[x])
        return _curves(ax, one.spots, shown, x, ranges[one])

    return figure(grid, panel, shown, [statistics(bands)])


def draw_curves(
    ax: Axes,
    run: Run,
    *,
    state: str | None = None,
    x: Literal["lag", "step"] = "lag",
    length: int | None = None,
    layer: int = 0,
    direction: str = "forward",
) -> None:
    """Draw median curves and their 10–90 % bands onto axes of your own.

    Parameters
    ----------
    ax : matplotlib Axes
        Where to; the y axis then counts decades. Lines are labelled: `ax.legend()` shows them.
    run : Run
        A stored run, or results in memory.
    state : str, optional
        Default ``s``, else the first recorded.
    x : {"lag", "step"}
        Steps back from the last loss, or steps in original time.
    length : int, optional
        Which of the swept lengths; default the longest.
    layer, direction
        Which part of a stack.

    Raises
    ------
    UserError
        If the run has nothing of the kind.
    """
    state = default_state(run, state)
    bands = gather(run, [state])[state]
    length = max(band.length for band in bands) if length is None else length
    chosen = [b for b in bands if b.length == length and b.place == (layer, direction)]
    if not chosen:
        lengths = ", ".join(str(n) for n in sorted({band.length for band in bands}))
        places = ", ".join(f"{layer} {way}" for layer, way in sorted({b.place for b in bands}))
        raise UserError(
            f"{run.name}: no curve of length {length} at layer {layer} {direction}\n"
            f"  expected: a length of {lengths}; layer and direction of {places}"
        )
    _curves(ax, chosen, hue(chosen), x, finite_range(chosen))
    ax.set_ylabel(norm_label(state))
    ax.set_xlabel(X[x])


def _curves(
    ax: Axes, bands: Sequence[Band], shown: Hue, x: str, ends: tuple[float, float]
) -> list[str]:
    """Fill a panel whose curves lie between two `ends`; return the notes that it needs."""
    low, high = ends
    decade_axis(ax, low, high)
    whole_axis(ax)
    notes = limits(ax)
    floor = low - (high - low) - 4  # where an exact zero is drawn to: below the picture
    for band in bands:
        along = band.lag if x == "lag" else band.step
        line = shown.line(shown.key(band))
        bottom, top = (np.maximum(y, floor) for y in (band.low, band.high))
        ax.fill_between(along, bottom, top, color=line["color"], alpha=0.16, linewidth=0)
        alive = np.isfinite(band.median)
        marker = "o" if band.lag.size == 1 else None
        ax.plot(
            along[alive], band.median[alive], label=shown.key(band), marker=marker, ms=3, **line
        )
        if not alive[-1]:
            last = int(alive.nonzero()[0][-1]) if alive.any() else 0
            end = max(band.median[last], ax.get_ylim()[0])
            ax.plot(along[last], end, marker="x", ms=4, color=line["color"], clip_on=False)
            notes.append("×: exactly 0 from there on")
    return notes
