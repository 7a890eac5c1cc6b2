"""The curves themselves: norm against lag or step, a panel for each length."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeGuard

from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradflow.errors import UserError
from gradflow.experiment.store.runs import Run
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.panels import Panel, common_ranges, facets
from gradflow.report.figures.scales import X, decade_axis, draw_trace, limits, whole_axis
from gradflow.report.figures.sites import statistics
from gradflow.report.figures.style import Hue, hue, in_turns, norm_label
from gradflow.report.figures.traces import Curve, norm_curves
from gradflow.report.read.bands import finite_range
from gradflow.report.read.records import default_state

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw", "draw_onto"]


def draw(found: Sequence[Curve], state: str, setup: Setup) -> Figure:
    """Draw the curves of one state: by colour what has most values, a panel for all else."""
    shown = hue(found, setup.cells)
    grid = facets(found, {shown.axis})
    ranges = common_ranges(grid, _range)

    def panel(ax: Axes, one: Panel[Curve]) -> list[str]:
        ax.set_ylabel(norm_label(state))
        ax.set_xlabel(X[setup.x])
        return _curves(ax, one.sites, shown, setup.x, ranges[one])

    return figure(setup, grid, panel, shown, [statistics(found)])


def draw_onto(
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
        Curves that are there already keep their place: those of another run get colours and names
        of their own, and the axis reaches as far as both.
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
    found = norm_curves(run, [state])[state]
    length = max(one.length for one in found) if length is None else length
    chosen = [one for one in found if one.length == length and one.place == (layer, direction)]
    if not chosen:
        lengths = ", ".join(str(n) for n in sorted({one.length for one in found}))
        places = ", ".join(f"{layer} {way}" for layer, way in sorted({one.place for one in found}))
        raise UserError(
            f"{run.name}: no curve of length {length} at layer {layer} {direction}\n"
            f"  expected: a length of {lengths}; layer and direction of {places}"
        )
    cells = tuple(dict.fromkeys(one.cell for one in found))
    shown, ends, names = hue(chosen, cells), _range(chosen), {}
    lines, labels = ax.get_legend_handles_labels()
    if labels:
        lows, highs = zip(ends, ax.dataLim.intervaly, strict=True)
        ends = min(lows), max(highs)
        shown = shown.beside([to_hex(line.get_color()) for line in lines if _is_line(line)])
        names = {key: _unlike(f"{key}, {run.name}", labels) for key in shown.keys if key in labels}
    _curves(ax, chosen, shown, x, ends, names)
    ax.set_ylabel(norm_label(state))
    ax.set_xlabel(X[x])


def _is_line(artist: object) -> TypeGuard[Line2D]:
    return isinstance(artist, Line2D)


def _unlike(name: str, taken: Collection[str]) -> str:
    """Number a name that is taken."""
    numbered = (f"{name} ({i})" for i in itertools.count(2))
    return next(one for one in itertools.chain([name], numbered) if one not in taken)


def _range(sites: Sequence[Curve]) -> tuple[float, float]:
    return finite_range(one.trace for one in sites)


def _curves(
    ax: Axes,
    sites: Sequence[Curve],
    shown: Hue,
    x: str,
    ends: tuple[float, float],
    names: Mapping[str, str] = {},
) -> list[str]:
    """Fill a panel whose curves lie between two `ends`; return the notes that it needs.

    `names` has what some keys are called here.
    """
    decade_axis(ax, *ends)
    whole_axis(ax)
    notes = limits(ax)
    keys = [shown.key(one) for one in sites]
    lines, turns = in_turns(
        [shown.line(key) for key in keys], [one.trace for one in sites], ax.get_ylim()
    )
    for one, key, line in zip(sites, keys, lines, strict=True):
        notes += draw_trace(ax, one.trace, x, line, names.get(key, key))
    return [*notes, *turns]
