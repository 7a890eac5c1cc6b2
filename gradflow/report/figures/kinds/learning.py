"""How nets learned: loss by update, what held them back, and sequences to the criterion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from gradflow.core.quantity import Result
from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.experiment.store.runs import Run
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.panels import Panel, Strip, common_ranges, facets, in_columns
from gradflow.report.figures.scales import BAND, decade_axis, length_axis, update_axis
from gradflow.report.figures.sites import Site, at_greatest_length, statistics
from gradflow.report.figures.style import GREY, by_parameter, hue, parameter_keys
from gradflow.report.figures.traces import NotRecordedError
from gradflow.report.read.bands import band, finite_range, quantile
from gradflow.report.read.lessons import far_end, side_by_side
from gradflow.report.read.records import Group, groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "LABELS",
    "Course",
    "course_of",
    "draw",
    "draw_band",
    "draw_success",
    "draw_symptoms",
    "draw_trivial",
    "gather",
    "gather_success",
    "gather_symptoms",
    "longest",
    "none_learned",
]  # fmt: skip

LABELS = {
    "loss": "loss $L$",
    "error": "mean $|\\mathrm{target} - o|$",
    "wrong": "share answered wrongly",
}
"""What is drawn by update, and its label; but for the share in decades."""

GAIN, COSINE, CONFLICT, FAR = "gain", "cosine_of_updates", "conflict", "far end"
SYMPTOMS = {
    GAIN: "gained",
    COSINE: "cosine of\nupdates",
    CONFLICT: "agreement\nof steps",
    FAR: "far end",
}
"""The rows of the figure of symptoms."""


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
    """Read how nets learned, by what is drawn of it."""
    return dict.fromkeys(LABELS, courses(run))


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


def gather_symptoms(run: Run) -> dict[str, list[Course]]:
    """Read how nets learned."""
    return {"symptoms": courses(run)}


def draw_symptoms(found: Sequence[Course], _: str, setup: Setup) -> Figure:
    """Draw stall, oscillation, conflict and the far end, a column for a setting."""
    found = at_greatest_length(found)
    seen = [name for name in SYMPTOMS if all(name in one.of or one.parts(name) for one in found)]
    grid = in_columns(found, seen)
    far = finite_range([np.zeros(1), *(band(one.of[FAR]) for one in found if FAR in seen)])

    def panel(ax: Axes, one: Panel[Course]) -> list[str]:
        assert isinstance(one, Strip)
        (site,) = one.sites
        for part in site.parts(one.shows):
            draw_band(ax, site.update, site.of[f"{one.shows}.{part}"], by_parameter(part), part)
        if one.shows in site.of:
            draw_band(ax, site.update, site.of[one.shows], {"color": "black"}, SYMPTOMS[one.shows])
        if one.shows == FAR:
            decade_axis(ax, *far)
        else:
            low = -1.0 if one.shows == COSINE else 0.0
            ax.set_ylim(low - 0.05, 1.05)
            ax.set_yticks([low, (low + 1) / 2, 1])
        if one.shows in (GAIN, COSINE):
            ax.axhline(0, color=GREY, linewidth=0.5, zorder=0.5)
        ax.set_ylabel(SYMPTOMS[one.shows])
        update_axis(ax, longest(found))
        return []

    kinds = dict.fromkeys(part for one in found for name in seen for part in one.parts(name))
    notes = [
        statistics(found),
        "gained: of what the trivial answer loses; 0 is a stall",
        "cosine of successive updates: below 0 they undo each other",
        *(
            ["agreement of the steps of a sequence, median over gates: 0, they cancel"]
            if CONFLICT in seen
            else []
        ),
        *(["far end: the gradient there over that at the loss"] if FAR in seen else []),
    ]
    return figure(setup, grid, panel, None, notes, height=1.0, keys=parameter_keys(kinds))


def gather_success(run: Run) -> dict[str, list[Course]]:
    """Read how nets learned.

    Raises
    ------
    UserError
        If all have one length.
    """
    found = courses(run)
    lengths = {one.length for one in found}
    if len(lengths) < 2:
        raise UserError(
            f"kind success needs more than one length; this run has {lengths.pop()} only\n"
            "  fix: sweep it, for example  length: [10, 20, 40]"
        )
    return {"success": found}


def draw_success(found: Sequence[Course], _: str, setup: Setup) -> Figure:
    """Draw the sequences until the criterion was met against the length, by cell or swept axis."""
    shown = hue(found, setup.cells)
    grid = facets(found, {shown.axis, "length"})
    lengths = sorted({one.length for one in found})
    ranges = common_ranges(grid, lambda sites: finite_range(map(_sequences, sites)))

    def panel(ax: Axes, one: Panel[Course]) -> list[str]:
        decade_axis(ax, *ranges[one])
        length_axis(ax, lengths)
        ax.set_ylabel("sequences read")
        ax.set_xlabel("length $T$")
        keys = list(dict.fromkeys(shown.key(site) for site in one.sites))
        for i, key in enumerate(keys):
            mine = sorted((s for s in one.sites if shown.key(s) == key), key=lambda s: s.length)
            _reached(ax, mine, shown.line(key) | {"label": key}, 0.97 - 0.05 * i)
        failed = any(np.isnan(site.learnt).any() for site in one.sites)
        return ["open: not all seeds; × above: none"] if failed else []

    notes = [statistics(found, "median of those that did, and each")]
    return figure(setup, grid, panel, shown, notes)


def _sequences(site: Course) -> Array:
    """log10 of the sequences to the criterion, NaN where it was not met."""
    return np.log10(site.learnt * site.batch)


def _reached(ax: Axes, sites: Sequence[Course], line: dict[str, Any], height: float) -> None:
    """Draw one line through the lengths at which any net has learnt, and where none has."""
    lengths = np.array([site.length for site in sites])
    each = [_sequences(site) for site in sites]
    for length, own in zip(lengths, each, strict=True):
        ax.plot(np.full(own.size, length), own, "o", ms=1.5, color=line["color"], alpha=0.5)
    some = np.array([not np.isnan(own).all() for own in each])
    every = np.array([not np.isnan(own).any() for own in each])
    medians = np.array([quantile(own, 0.5) for own in each])
    ax.plot(lengths[some], medians[some], **line)
    for which, face in ((every, line["color"]), (some & ~every, "white")):
        ax.plot(
            lengths[which], medians[which], "o", ms=4, color=line["color"], markerfacecolor=face
        )
    none = lengths[~some]
    ax.plot(
        none, np.full(none.size, height), "x", ms=4, color=line["color"],
        transform=ax.get_xaxis_transform(), clip_on=False,
    )  # fmt: skip
