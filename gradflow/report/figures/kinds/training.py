"""The norm while a net learns: step × update, the loss above it; or the curve, moving."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from gradflow.core.quantity import Quantity
from gradflow.core.typing import Array
from gradflow.experiment.store.runs import Run
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.kinds.heatmap import ZERO
from gradflow.report.figures.kinds.learning import (
    LABELS,
    Course,
    course_of,
    draw_band,
    draw_trivial,
    longest,
    none_learned,
)
from gradflow.report.figures.output import Film
from gradflow.report.figures.panels import Panel, Strip, evenly, facets, in_columns
from gradflow.report.figures.scales import (
    NOTHING,
    X,
    decade_axis,
    decades_bar,
    decades_over_steps,
    diverging,
    edges,
    update_axis,
    whole_ticks,
)
from gradflow.report.figures.sites import Site, at_greatest_length, statistics
from gradflow.report.figures.style import hue, norm_label
from gradflow.report.read.bands import band, finite_range, quantile
from gradflow.report.read.lessons import side_by_side
from gradflow.report.read.records import groups, original_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

__all__ = ["draw", "film", "gather"]

LOSS, NORMS = "loss", "norms"
"""The rows of the figure."""

TALL = 1.35
"""Inches of a row."""

FRAMES = 60
"""Windows in a film at most."""


@dataclass(frozen=True)
class Growth(Site):
    """The norms of a state at one place of nets that learn.

    Parameters
    ----------
    course : Course
        How they learned.
    lag, step : array (m,)
        Ascending lags, and their steps in original time.
    norms : array (n, m)
        log10, the median over seeds, at each of the course's updates.
    """

    course: Course
    lag: Array
    step: Array
    norms: Array

    def along(self, x: str) -> Array:
        """Return what stands on the axis of time: ``lag`` or ``step``."""
        return self.lag if x == "lag" else self.step


def gather(run: Run) -> dict[str, list[Growth]]:
    """Read the curves of the windows, by state."""
    found: dict[str, list[Growth]] = {}
    for group in groups(run):
        results = [run.result(point) for point in group.points]
        seen = course_of(group, results)
        if seen is None:
            continue
        for name in results[0]:
            state, _, which = name.rpartition(".")
            if which == "learning" and results[0][name].dims[-1] == "step":
                found.setdefault(state, []).extend(_grown(seen, [one[name] for one in results]))
    if not found:
        raise none_learned(run)
    return found


def _grown(course: Course, each: Sequence[Quantity]) -> Iterator[Growth]:
    """Take the curves of some nets apart by place."""
    first = each[0]
    steps, directions = (np.asarray(first.coords[name]) for name in ("step", "direction"))
    lags = np.asarray(first.coords.get("lag", steps[-1] - steps))
    # Of sequences with lengths of their own there is one mean curve: by the steps of the longest.
    lags = steps[-1] - steps if lags.ndim > 2 else lags
    for i, layer in enumerate(np.asarray(first.coords["layer"]).tolist()):
        for j, way in enumerate(directions.tolist()):
            lag = np.broadcast_to(lags, (len(directions), steps.size))[j]
            order = np.argsort(lag, kind="stable")
            order = order[lag[order] >= 0]
            updates = [np.asarray(one.coords["update"]) for one in each]
            values = [one.values[:, i, j][:, order].T for one in each]
            _, curves = side_by_side(updates, values)
            norms = quantile(np.where(np.isnan(curves), -np.inf, curves), 0.5).T
            step = original_step(steps[order], way, course.length)
            site = (course.cell, course.length, course.axes, (layer, way), course.seeds, 1)
            yield Growth(*site, course, lag[order], step, norms)


def draw(found: Sequence[Growth], state: str, setup: Setup) -> Figure:
    """Draw the loss above the map of norms, a column for a setting."""
    found = at_greatest_length(found)
    grid = in_columns(found, [LOSS, NORMS])
    low, high = finite_range(one.norms for one in found)
    scale, colours = diverging(low, high)
    colours = colours.with_extremes(bad=ZERO)
    losses = [np.log10(one.course.of[LOSS]) for one in found]
    trivial = np.log10([one.course.trivial for one in found])
    ends = finite_range([*map(band, losses), trivial])
    every = longest([one.course for one in found])

    def panel(ax: Axes, one: Panel[Growth]) -> list[str]:
        assert isinstance(one, Strip)
        (site,) = one.sites
        update = site.course.update
        update_axis(ax, every)
        if one.shows == LOSS:
            decade_axis(ax, *ends)
            ax.set_ylabel(LABELS[LOSS])
            draw_band(ax, update, np.log10(site.course.of[LOSS]), {"color": "black"}, LOSS)
            return draw_trivial(ax, [site.course])
        return _map(ax, site, setup.x, scale, colours)

    bar = decades_bar(ScalarMappable(scale, colours), norm_label(state), low, high, 2, TALL)
    seeds = statistics(found)
    notes = [
        "blue: vanished, white: 1, red: exploded, grey: all nets have learnt",
        seeds and f"loss: {seeds}; norms: median",
    ]
    return figure(setup, grid, panel, None, notes, height=TALL, bar=bar)


def _map(ax: Axes, site: Growth, x: str, scale: Normalize, colours: Colormap) -> list[str]:
    """Draw the norms, time upwards and updates to the right."""
    update, alive = site.course.update, np.isfinite(site.norms)
    order = np.argsort(site.along(x), kind="stable")
    ax.set_facecolor(NOTHING)
    ax.pcolormesh(
        edges(update),
        edges(site.along(x)[order]),
        np.where(alive, site.norms, np.nan).T[order],
        norm=scale,
        cmap=colours,
        rasterized=True,
    )
    ax.set_ylabel("lag" if x == "lag" else X[x])
    whole_ticks(ax.yaxis)
    return [] if alive.all() else ["black: exactly 0"]


def film(found: Sequence[Growth], state: str, setup: Setup) -> Film:
    """Draw the curves of the first window, which become those of the later ones."""
    found = at_greatest_length(found)
    shown = hue(found, setup.cells)
    grid = facets(found, {shown.axis})
    ends = finite_range([np.zeros(1), *(one.norms for one in found)])
    lines: list[tuple[Line2D, Array, Array]] = []
    counts: list[Text] = []

    def panel(ax: Axes, one: Panel[Growth]) -> list[str]:
        decades_over_steps(ax, ends, setup.x, norm_label(state))
        for site in one.sites:
            line, along = shown.line(shown.key(site)), site.along(setup.x)
            curves = np.where(np.isfinite(site.norms), site.norms, np.nan)
            ax.plot(along, curves[0], **line | {"alpha": 0.3, "linewidth": 0.7})
            (moving,) = ax.plot(along, curves[0], **line)
            lines.append((moving, site.course.update, curves))
        counts.append(ax.text(0.02, 0.04, "", transform=ax.transAxes))
        return ["thin: after the first window"]

    drawn = figure(setup, grid, panel, shown, [statistics(found, "median")])
    updates = evenly(longest([one.course for one in found]).tolist(), FRAMES)

    def turn(k: int) -> None:
        for line, update, curves in lines:
            line.set_ydata(curves[min(int(np.searchsorted(update, updates[k])), len(update) - 1)])
        for count in counts:
            count.set_text(f"update {updates[k]:,}")

    return Film(drawn, len(updates), turn)
