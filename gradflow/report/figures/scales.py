"""What is drawn on the axes of a panel: decades over steps, curves with bands, ends of formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, SymLogNorm
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullFormatter,
    StrMethodFormatter,
)

from gradflow.core.typing import Array
from gradflow.report.figures.style import GREY
from gradflow.report.figures.traces import Trace
from gradflow.report.read.horizons import LIMITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = [
    "BAND",
    "FORMAT",
    "NOTHING",
    "Bar",
    "X",
    "decade_axis",
    "decades_bar",
    "decades_over_steps",
    "diverging",
    "draw_trace",
    "edges",
    "floor",
    "length_axis",
    "limits",
    "update_axis",
    "whole_axis",
    "whole_ticks",
    "zeros",
]  # fmt: skip

FORMAT = "_format"
"""Label of the texts that `limits` writes beside the axes; the underscore hides it from legends."""

BAND = "_band "
"""What the labels of bands begin with."""

X = {"lag": "lag (steps back from the last loss)", "step": "step $k$"}
"""What may stand on the x axis, and its label."""


NOTHING = "#dddddd"
"""Where there is no number: a quiet colour that is none of the map's."""

BETWEEN = 0.2
"""Least distance of the ticks of a colour bar, in inches for text of 8 points."""


@dataclass(frozen=True)
class Bar:
    """A colour bar beside all panels: its colours, its label, its ends, and how it is drawn."""

    colours: ScalarMappable
    label: str
    ends: tuple[float, float] | None = None
    options: dict[str, Any] = field(default_factory=dict)


def decades_over_steps(ax: Axes, ends: tuple[float, float], x: str, label: str) -> None:
    """Let y count decades between `ends` and x steps."""
    decade_axis(ax, *ends)
    whole_axis(ax)
    ax.set_xlabel(X[x])
    ax.set_ylabel(label)


def draw_trace(ax: Axes, trace: Trace, x: str, line: dict[str, Any], label: str) -> list[str]:
    """Draw a median and its band; return the notes that they need.

    Both carry the name of what they show, the band behind `BAND`, which hides it from legends.
    A line never crosses what is exactly zero, or was not recorded: it ends and begins anew.
    Zeros are marked at the lower edge, so the limits of the axes have to be set before.
    """
    along, bottom = trace.along(x), floor(ax)
    alive = np.isfinite(trace.median)
    low, high = (np.maximum(y, bottom) for y in (trace.low, trace.high))
    where = None if alive.all() else alive
    ax.fill_between(
        along, low, high, where=where, color=line["color"], alpha=0.16, linewidth=0,
        label=BAND + label,
    )  # fmt: skip
    if line.get("linestyle") != "none":
        ax.plot(along, np.where(alive, trace.median, np.nan), label=label, **line)
    before, after = np.append(False, alive[:-1]), np.append(alive[1:], False)
    alone = alive & ~before & ~after
    if alone.any():
        ax.plot(along[alone], trace.median[alone], "o", ms=3, color=line["color"])
    return zeros(ax, along, trace.median, line["color"])


def floor(ax: Axes) -> float:
    """Return a height well below the axes, for the part of a band that is exactly zero."""
    low, high = ax.get_ylim()
    return float(low - (high - low) - 4)


def zeros(ax: Axes, along: Array, values: Array, colour: Any) -> list[str]:
    """Mark where values are exactly zero, low in the panel: × where a stretch begins, a line on."""
    dead = np.append(values == -np.inf, False)
    starts = np.flatnonzero(dead & ~np.append(False, dead[:-1]))
    if not starts.size:
        return []
    edge = ax.get_xaxis_transform()
    height = 0.015 + 0.025 * len({artist.get_gid() for artist in ax.lines if artist.get_gid()})
    name = f"zeros {height}"
    for start in starts:
        stop = start + int(dead[start:].argmin()) - 1
        ax.plot(
            along[[start, stop]], [height, height], "-", color=colour, linewidth=0.8, gid=name,
            transform=edge, clip_on=False,
        )  # fmt: skip
    begin = len(starts) * [height]
    ax.plot(along[starts], begin, "x", ms=4, color=colour, transform=edge, clip_on=False, gid=name)
    return ["× at the bottom, and the line from it: exactly 0"]


def decade_axis(ax: Axes, low: float, high: float) -> None:
    """Make the y axis, which counts decades, run from `low` to `high` and read 10^k."""
    if high - low < 2:
        low, high = (low + high) / 2 - 1, (low + high) / 2 + 1
    margin = 0.04 * (high - low)
    ax.set_ylim(low - margin, high + margin)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 3, 5, 10]))
    ax.yaxis.set_major_formatter(FuncFormatter(power_of_ten))


def power_of_ten(exponent: float, _: object = None) -> str:
    """Write the tick of an axis that counts decades."""
    return f"$10^{{{exponent:.0f}}}$"


def whole_axis(ax: Axes) -> None:
    """Put the ticks of the x axis, which counts steps, at whole numbers."""
    ax.margins(x=0.02)
    whole_ticks(ax.xaxis)


def whole_ticks(axis: Axis) -> None:
    """Put the ticks of an axis at whole numbers."""
    steps = [1, 2, 2.5, 5, 10]
    axis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=steps, min_n_ticks=1))


def length_axis(ax: Axes, lengths: Sequence[int]) -> None:
    """Put ticks at the lengths swept, as far as they fit, on a linear axis from 0.

    An exponential is a straight line on it; on a logarithmic one it would be a cliff.
    """
    ax.set_xlim(-0.03 * lengths[-1], 1.03 * lengths[-1])
    shown: list[int] = []
    for length in reversed(lengths):
        if not shown or shown[-1] - length >= 0.12 * lengths[-1]:
            shown.append(length)
    ax.xaxis.set_major_locator(FixedLocator(shown))
    ax.xaxis.set_minor_locator(FixedLocator(list(lengths)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))


def update_axis(ax: Axes, updates: Array) -> None:
    """Let x count updates, up to the last, on the scale on which their windows closed."""
    windows = np.diff(updates, prepend=0)
    if windows[:-1].size and windows[:-1].max() > 3 * windows[0]:
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:  # their numbers are long and their panels narrow
        ax.xaxis.set_major_locator(MaxNLocator(nbins=3, integer=True, steps=[1, 2, 2.5, 5, 10]))
    if updates.size > 1:
        ax.set_xlim(updates[0], updates[-1])
    ax.set_xlabel("updates")


def limits(ax: Axes) -> list[str]:
    """Mark beside the axes where the formats of floating point end, as far as the picture reaches.

    Returns the note that explains the marks, if there are any. Those of before go, and one that a
    later zoom leaves outside the axes does not show.
    """
    for artist in [one for one in (*ax.lines, *ax.texts) if one.get_gid() == FORMAT]:
        artist.remove()
    low, high = ax.get_ylim()
    marked: list[float] = []
    small = 0.69 * float(matplotlib.rcParams["font.size"])
    for name in reversed(list(LIMITS)):  # the widest first: it gets its label in any case
        for end in (LIMITS[name].zero, LIMITS[name].inf):
            if not low < end < high:
                continue
            ax.axhline(
                end, color=GREY, linewidth=0.5, linestyle=(0, (1, 2)), zorder=0.5, gid=FORMAT
            )
            if all(abs(end - other) > 0.075 * (high - low) for other in marked):
                marked.append(end)
                beside = ax.get_yaxis_transform()
                ax.annotate(
                    name, (0.5, end), (1.01, end), xycoords=beside, textcoords=beside,
                    annotation_clip=True, fontsize=small, color=GREY, va="center", label=FORMAT,
                    gid=FORMAT,
                )  # fmt: skip
    return ["dotted: here the range of the format ends"] if marked else []


def edges(along: Array) -> Array:
    """Return the boundaries between neighbouring steps, and half a step around the outer ones."""
    between = (along[1:] + along[:-1]) / 2
    return np.concatenate([[along[0] - 0.5], between, [along[-1] + 0.5]])


def diverging(low: float, high: float) -> tuple[SymLogNorm, Colormap]:
    """Make a scale for decades between `low` and `high`, zero in its middle."""
    most = max(-low, high, 3.0)
    scale = SymLogNorm(linthresh=1, linscale=0.5, vmin=-most, vmax=most, base=10)
    return scale, matplotlib.colormaps["RdBu_r"].with_extremes(bad=(0, 0, 0, 0))


def decades_bar(
    colours: ScalarMappable, label: str, low: float, high: float, rows: int, tall: float
) -> Bar:
    """Make the colour bar of a heat map of decades, beside rows that are so many inches `tall`.

    Of its ticks there are as many as it has room for, whole powers of ten rather than thirds.
    """
    ends = min(low, -1.0), max(high, 1.0)
    thirds = [sign * k * 10.0**n for k in (1, 3) for n in range(5) for sign in (-1, 1)]
    places = np.asarray(colours.norm(np.array([*ends, 0.0, *thirds]))).tolist()
    bottom, top = places[:2]
    room = BETWEEN * (top - bottom) / (rows * tall)
    ticks: list[float] = []
    taken: list[float] = []
    for tick, at in zip([0.0, *thirds], places[2:], strict=True):
        if bottom <= at <= top and all(abs(at - other) >= room for other in taken):
            ticks.append(tick)
            taken.append(at)
    options = {"format": FuncFormatter(power_of_ten), "ticks": ticks, "aspect": 15 * rows}
    return Bar(colours, label, ends, options)
