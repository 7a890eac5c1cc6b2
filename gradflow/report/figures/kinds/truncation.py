"""What truncated BPTT leaves out: the error of the gradients by k2, and of the flow by lag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from gradflow.core.quantity import Quantity, Result
from gradflow.core.typing import Array
from gradflow.experiment.store.runs import Run
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.panels import Panel, common_ranges, facets
from gradflow.report.figures.scales import BAND, decade_axis, decades_over_steps, draw_trace, limits
from gradflow.report.figures.sites import Site, statistics
from gradflow.report.figures.style import DASHES, hue, norm_label, ramp
from gradflow.report.figures.traces import Trace, by_place, condense, none_recorded, pools
from gradflow.report.read.bands import Band, band, finite_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Cut", "Errors", "draw", "gather"]

ROUNDING = -12.0
"""log10 of the error below which gradients differ by rounding alone."""

ERROR, PREFIX = "truncation_error", "truncated_"

EXACT: dict[str, Any] = {"color": "black", "linestyle": DASHES[1], "linewidth": 1.4}


@dataclass(frozen=True)
class Errors(Site):
    """log10 of the relative error of all parameters' gradients by k2, over seeds."""

    k2: tuple[int, ...]
    of: Band


@dataclass(frozen=True)
class Cut(Site):
    """The norms of the exact flow, and of the truncated one for each k2."""

    exact: Trace
    of: dict[int, Trace]


def gather(run: Run) -> dict[str, list[Errors] | list[Cut]]:
    """Read the errors, a figure, and the flow, a figure for each state."""
    errors: list[Errors] = []
    cuts: dict[str, list[Cut]] = {}
    for group, length, results in pools(run, lambda _: True):
        if ERROR not in results[0]:
            continue
        k2 = tuple(int(k) for k in results[0][ERROR].coords["k2"])
        site = (group.cell, length, group.axes)
        with np.errstate(divide="ignore"):
            every = np.log10(np.stack([result[ERROR].values for result in results]))
        every[every < ROUNDING] = -np.inf
        errors.append(Errors(*site, (0, "forward"), len(results), 1, k2, band(every)))
        for state in [name for name in results[0] if PREFIX + name in results[0]]:
            for place, (exact, of, sequences) in _flows(results, state, k2, length).items():
                one = Cut(*site, place, len(results), sequences, exact, of)
                cuts.setdefault(state, []).append(one)
    if not errors:
        raise none_recorded(run, "truncation", "truncated gradients", "{k1: 4, k2: [4, 16]}")
    return {"error": errors, **cuts}


def draw(found: Sequence[Errors] | Sequence[Cut], name: str, setup: Setup) -> Figure:
    """Draw the error by k2, coloured by cell; or a state's flow, a panel for each cell."""
    if name == "error":
        return _errors([one for one in found if isinstance(one, Errors)], setup)
    cuts = [one for one in found if isinstance(one, Cut)]
    grid = facets(cuts, ())
    ranges = common_ranges(grid, _range)
    several = sorted({k2 for one in cuts for k2 in one.of})

    def panel(ax: Axes, one: Panel[Cut]) -> list[str]:
        decades_over_steps(ax, ranges[one], setup.x, norm_label(name))
        (shown,) = one.sites
        for k2, trace in shown.of.items():
            alive = np.isfinite(trace.median)
            y = np.where(alive, trace.median, np.nan)
            ax.plot(trace.along(setup.x), y, label=f"k2 = {k2}", **_line(k2, several))
        return [*draw_trace(ax, shown.exact, setup.x, EXACT, "exact"), *limits(ax)]

    keys = [(Line2D([], [], **_line(k2, several)), f"k2 = {k2}") for k2 in several]
    notes = [statistics(cuts), "a line that ends: exactly 0 from there on"]
    return figure(setup, grid, panel, notes=notes, keys=[(Line2D([], [], **EXACT), "exact"), *keys])


def _errors(found: Sequence[Errors], setup: Setup) -> Figure:
    shown = hue(found, setup.cells)
    grid = facets(found, {shown.axis})
    several = sorted({k2 for one in found for k2 in one.k2})
    low, high = finite_range(one.of for one in found)

    def panel(ax: Axes, one: Panel[Errors]) -> list[str]:
        decade_axis(ax, low, max(high, 0.0))
        ax.set_xscale("log", base=2)
        ax.margins(x=0.04)
        ax.set_xticks(several, [str(k2) for k2 in several], minor=False)
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel("$k_2$, steps back")
        ax.set_ylabel("relative error of the gradients")
        dead = False
        for site in one.sites:
            key = shown.key(site)
            line = shown.line(key)
            alive = np.isfinite(site.of.median)
            dead |= not alive.all()
            along = np.array(site.k2)[alive]
            bottom, top = (np.maximum(y[alive], low - 9) for y in (site.of.low, site.of.high))
            ax.fill_between(
                along, bottom, top, color=line["color"], alpha=0.16, linewidth=0, label=BAND + key
            )
            ax.plot(along, site.of.median[alive], marker="o", ms=2.5, label=key, **line)
        return ["a line that ends: no error beyond rounding"] if dead else []

    return figure(setup, grid, panel, shown, [statistics(found)])


def _flows(
    results: Sequence[Result], state: str, k2: Sequence[int], length: int
) -> dict[tuple[int, str], tuple[Trace, dict[int, Trace], int]]:
    """Pool exact and truncated norms of a state over seeds and sequences, by place."""
    pooled: dict[tuple[tuple[int, str], int], list[Array]] = {}
    grids: dict[tuple[int, str], tuple[Array, Array]] = {}
    for result in results:
        cut = result[PREFIX + state]
        layers = [(0, result[state])]
        layers += [
            (k, Quantity(state, cut.dims[1:], values, cut.coords, cut.unit))
            for k, values in zip(k2, cut.values, strict=True)
        ]
        for k, quantity in layers:
            for place, _, lag, step, values in by_place(quantity, length):
                pooled.setdefault((place, k), []).append(values)
                grids[place] = (lag, step)
    return {
        place: (
            condense(*grid, pooled[place, 0]),
            {k: condense(*grid, pooled[place, k]) for k in k2},
            len(pooled[place, 0][0]),
        )
        for place, grid in grids.items()
    }


def _line(k2: int, several: Sequence[int]) -> dict[str, Any]:
    colours, scale = ramp([0.0, float(len(several))])
    return {"color": colours(scale(several.index(k2))), "linewidth": 0.9}


def _range(sites: Sequence[Cut]) -> tuple[float, float]:
    exact = [one.exact for one in sites]
    return finite_range([*exact, *(t.median for one in sites for t in one.of.values())])
