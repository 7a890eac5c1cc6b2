"""How nets learned: losses and errors by update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from gradflow.core.quantity import Result
from gradflow.core.typing import Array
from gradflow.experiment.store.runs import Run
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.panels import Panel, common_ranges, facets
from gradflow.report.figures.scales import BAND, decade_axis, update_axis
from gradflow.report.figures.sites import Site, statistics
from gradflow.report.figures.style import GREY, hue
from gradflow.report.figures.traces import NotRecordedError
from gradflow.report.read.bands import band, finite_range, quantile
from gradflow.report.read.lessons import far_end, side_by_side
from gradflow.report.read.records import Group, groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "CONFLICT",
    "COSINE",
    "FAR",
    "GAIN",
    "LABELS",
    "Course",
    "course_of",
    "courses",
    "draw",
    "draw_band",
    "draw_trivial",
    "gather",
    "longest",
    "none_learned",
]

LABELS = {
    "loss": "loss $L$",
    "error": "mean $|\\mathrm{target} - o|$",
    "wrong": "share answered wrongly",
}
"""What is drawn by update, and its label; but for the share in decades."""

GAIN, COSINE, CONFLICT, FAR = "gain", "cosine_of_updates", "conflict", "far end"


@dataclass(frozen=True)
class Course(Site):
    """How the nets of a point learned, a row for each.

    Parameters
    ----------
    update : array (n,)
        After which windows closed.
    of : mapping of str to array
        What they have shown, ``(seeds, n)``; of kinds of parameters by ``name.kind``.
    learnt : array (seeds,)
        Updates until the criterion was met, NaN where it was not.
    batch : float
        Sequences of an update.
    trivial : float
        The loss of the trivial answer.
    """

    update: Array
    of: Mapping[str, Array]
    learnt: Array
    batch: float
    trivial: float

    def parts(self, name: str) -> list[str]:
        """The kinds of parameters of which something was seen."""
        return [key.partition(".")[2] for key in self.of if key.startswith(f"{name}.")]


def course_of(group: Group, results: Sequence[Result]) -> Course | None:
    """How the nets of a group learned; None where they did not."""
    if not all("training" in result for result in results):
        return None
    each = [_shown(result) for result in results]
    updates = [np.asarray(result["loss"].coords["update"]) for result in results]
    of = {}
    for name in each[0]:
        update, of[name] = side_by_side(updates, [one[name] for one in each])
    read, learnt, trivial = np.array([one["training"].values for one in results]).T
    batch = float(read[0] / updates[0][-1])
    site = (group.cell, group.length, group.axes, (0, "forward"), len(results), 1)
    return Course(*site, update, of, learnt / batch, batch, float(trivial[0]))


def courses(run: Run) -> list[Course]:
    """Read how nets learned, in the order of the plan.

    Raises
    ------
    UserError
        If none did.
    """
    each = (course_of(one, [run.result(point) for point in one.points]) for one in groups(run))
    found = [one for one in each if one is not None]
    if not found:
        raise none_learned(run)
    return found


def none_learned(run: Run) -> NotRecordedError:
    """Say that the nets of a run did not learn, and what lets them."""
    return NotRecordedError(
        f"{run.name}: its nets did not learn\n"
        "  fix: add a section  train:  to the experiment, and run again"
    )


def _shown(result: Result) -> dict[str, Array]:
    """All that is drawn of one net, the last axis along the updates."""
    found = {name: result[name].values for name in (*LABELS, GAIN)}
    cosines = result[COSINE]
    for kind, values in zip(cosines.coords["kind"].tolist(), cosines.values, strict=True):
        found[f"{COSINE}.{kind}"] = values
    for name in ("U", "W", "V"):
        if f"conflict_{name}.learning" in result:
            of_gates = result[f"conflict_{name}.learning"].values
            found[f"{CONFLICT}.{name}"] = quantile(of_gates.reshape(len(of_gates), -1), 0.5, axis=1)
    return found | ({FAR: far_end(result)} if "s.learning" in result else {})


def gather(run: Run) -> dict[str, list[Course]]:
    """Read how nets learned, by what is drawn of it: of what is NaN throughout, nothing."""
    found = courses(run)
    said = [name for name in LABELS if any(~np.isnan(one.of[name]).all() for one in found)]
    return dict.fromkeys(said, found)


def draw(found: Sequence[Course], name: str, setup: Setup) -> Figure:
    """Draw medians and bands over seeds by update; a dot is where a net met its criterion."""
    shown = hue(found, setup.cells)
    grid = facets(found, {shown.axis})
    decades = name != "wrong"

    def numbers(course: Course) -> Array:
        with np.errstate(divide="ignore"):
            return np.log10(course.of[name]) if decades else course.of[name]

    def extent(sites: Sequence[Course]) -> tuple[float, float]:
        trivial = [np.log10(one.trivial) for one in sites if name == "loss"]
        return finite_range([*(band(numbers(one)) for one in sites), np.array(trivial)])

    ranges = common_ranges(grid, extent)

    def panel(ax: Axes, one: Panel[Course]) -> list[str]:
        if decades:
            decade_axis(ax, *ranges[one])
        else:
            ax.set_ylim(-0.03, 1.03)
        notes = []
        for site in one.sites:
            key, y = shown.key(site), numbers(site)
            line = shown.line(key)
            draw_band(ax, site.update, y, line, key)
            notes += _successes(ax, site, y, line)
        if name == "loss":
            notes += draw_trivial(ax, one.sites)
        update_axis(ax, longest(one.sites))
        ax.set_ylabel(LABELS[name])
        return notes

    return figure(setup, grid, panel, shown, [statistics(found)])


def longest(sites: Sequence[Course]) -> Array:
    """The updates of those nets of which some learned to the last."""
    return max((site.update for site in sites), key=lambda update: update[-1])


def draw_band(ax: Axes, x: Array, values: Array, line: Mapping[str, Any], label: str) -> None:
    """Draw the median of several curves, and the 10–90 % of them as a band."""
    pooled = band(values)
    ax.fill_between(
        x, pooled.low, pooled.high, color=line["color"], alpha=0.16, linewidth=0, label=BAND + label
    )
    ax.plot(x, pooled.median, label=label, **line)


def _successes(ax: Axes, site: Course, y: Array, line: Mapping[str, Any]) -> list[str]:
    there = ~np.isnan(site.learnt)
    ax.plot(
        site.learnt[there], y[there, -1], "o", ms=2.5, color=line["color"], markeredgewidth=0,
        alpha=0.7,
    )  # fmt: skip
    return ["dot: a net meets its criterion and stops"] if there.any() else []


def draw_trivial(ax: Axes, sites: Sequence[Course]) -> list[str]:
    """Draw what the trivial answer loses."""
    for trivial in dict.fromkeys(site.trivial for site in sites):
        level = float(np.log10(trivial))
        ax.axhline(level, color=GREY, linewidth=0.6, linestyle=(0, (1, 2)), zorder=0.5)
    return ["dotted: the loss of the trivial answer"]
