"""The figure around the panels: its size, headings, the legend outside of them, the small print."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradflow.report.figures.margins import LegendEntry, Margins, legend_columns
from gradflow.report.figures.output import ORDINARY, Paper
from gradflow.report.figures.panels import Grid, Panel
from gradflow.report.figures.scales import FORMAT, Bar
from gradflow.report.figures.sites import Site
from gradflow.report.figures.style import Hue, literal, ramp

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = ["Setup", "figure"]

HEIGHTS = (2.0, 1.6, 1.4, 1.2)
"""Height of a row of panels in inches, by how many rows there are."""

BAR = 7
"""Numbers in a legend; more have a colour bar."""

BELOW = 3
"""Lines of a legend below a single panel; a longer one stands beside it."""

S = TypeVar("S", bound=Site)


@dataclass(frozen=True)
class Setup:
    """How the figures of a run are to be drawn.

    Parameters
    ----------
    x : {"lag", "step"}
        What curves are drawn against.
    cells : tuple of str
        All cells of the run: each looks the same in all of its figures.
    paper : Paper
        Widths and the size of text.
    fits : bool
        Whether a single panel has to do with the width of a column, whatever its legend.
    title : str
        Above all panels; None for what they share.
    notes : bool
        Whether there is small print.
    """

    x: str = "lag"
    cells: tuple[str, ...] = ()
    paper: Paper = ORDINARY
    fits: bool = False
    title: str | None = None
    notes: bool = True

    @property
    def scale(self) -> float:
        """Size of text over that of the ordinary one."""
        return self.paper.size / ORDINARY.size

    def width(self, columns: int) -> float:
        """Width of a figure of so many panels side by side."""
        return self.paper.column if columns == 1 else self.paper.page


def figure(
    setup: Setup,
    grid: Grid[S],
    draw: Callable[[Axes, Panel[S]], Collection[str]],
    shown: Hue | None = None,
    notes: Collection[str] = (),
    height: float | None = None,
    keys: Sequence[LegendEntry] = (),
    bar: Bar | None = None,
) -> Figure:
    """Lay out the panels, a legend outside of them, a heading above and notes below.

    One column of panels fills a paper's column, more than one its page's width. What neighbours
    share, ticks, labels and the names of formats, is written once.

    Parameters
    ----------
    setup : Setup
        Widths, sizes and what is to be written.
    grid, draw
        The panels, and what fills the axes of one and may return further notes.
    shown : Hue, optional
        What the legend explains, or a colour bar where there are many numbers.
    notes, height
        Small print; the height of a row of panels, in inches.
    keys, bar
        Further entries of the legend; a colour bar of the panels' own.
    """
    rows, columns = grid.shape
    entries = [*_entries(grid, shown), *keys]
    width = setup.width(columns)
    across = legend_columns([name for _, name in entries], width, setup.paper.size)
    beside = columns == rows == 1 and math.ceil(len(entries) / across) > BELOW and not setup.fits
    if beside:
        width, across = 0.8 * setup.paper.page, 1
    fig, tall, places = _empty(grid, setup, width, height)
    texts = dict.fromkeys(notes)
    made: dict[tuple[int, int], Axes] = {}
    for panel in grid.panels:
        ax = made[panel.row, panel.column] = places[panel.row, panel.column]
        texts.update(dict.fromkeys(draw(ax, panel)))
    for ax in set(places.flat) - set(made.values()):
        ax.remove()
    along, up = common_labels(made)
    thin_out(made)
    margins = Margins(fig, tall)
    if setup.notes:
        margins.note("; ".join(filter(None, dict.fromkeys([*texts, grid.note]))))
    if len(entries) > 1 or keys:
        margins.legend(entries, literal(shown.title) if shown else "", across, beside)
    elif shown and len(shown.numbers) > BAR:
        bar = _bar(shown)
    if bar:
        _draw_bar(fig, bar, list(made.values()))
    margins.labels(along, up, bool(grid.rows))
    margins.heading(grid.heading if setup.title is None else setup.title)
    margins.panels(made, grid)
    return fig


def _bar(shown: Hue) -> Bar:
    colours, shades = ramp(shown.numbers)
    return Bar(ScalarMappable(shades, colours), literal(shown.title), options={"aspect": 30})


def _draw_bar(fig: Figure, bar: Bar, beside: Sequence[Axes]) -> None:
    drawn = fig.colorbar(bar.colours, ax=beside, label=bar.label, pad=0.02, **bar.options)
    drawn.ax.minorticks_off()
    drawn.ax.set_ylim(bar.ends)


def _empty(
    grid: Grid[S], setup: Setup, width: float, height: float | None
) -> tuple[Figure, float, Any]:
    """A figure without anything in it, a row's height, and the axes by row and column."""
    rows, columns = grid.shape
    height = setup.scale * (height or HEIGHTS[min(rows, len(HEIGHTS)) - 1])
    fig = Figure(figsize=(width, rows * height))
    FigureCanvasAgg(fig)
    return fig, rows * height, fig.subplots(rows, columns, squeeze=False)


def _entries(grid: Grid[S], shown: Hue | None) -> list[LegendEntry]:
    """Name the lines that were drawn."""
    if shown is None or len(shown.numbers) > BAR:
        return []
    drawn = {shown.key(site) for panel in grid.panels for site in panel.sites}
    keys = [key for key in shown.keys if key in drawn]
    if len(keys) < 2:
        return []
    return [(Line2D([], [], **shown.line(key)), key) for key in keys]


Places = Mapping[tuple[int, int], "Axes"]
"""Axes by row and column; some places may be empty."""


def common_labels(made: Places) -> tuple[str, str]:
    """Take the labels away that all panels have in common; return those of x and y, or ``""``.

    A row of panels keeps its y labels, a column its x labels: `thin_out` leaves one of them.
    """
    rows, columns = (len({place[side] for place in made}) for side in (0, 1))
    along = {ax.get_xlabel() for ax in made.values()}
    up = {ax.get_ylabel() for ax in made.values()}
    if columns > 1 and len(along) == 1:
        for ax in made.values():
            ax.set_xlabel("")
    if rows > 1 and len(up) == 1:
        for ax in made.values():
            ax.set_ylabel("")
    return (
        along.pop() if columns > 1 and len(along) == 1 else "",
        up.pop() if rows > 1 and len(up) == 1 else "",
    )


def thin_out(made: Places) -> None:
    """Leave out labels, tick labels and names of formats that stand at the next panel as well."""
    for (row, column), ax in made.items():
        left = max((c for r, c in made if r == row and c < column), default=None)
        below = min((r for r, c in made if c == column and r > row), default=None)
        if left is not None and _alike(ax.yaxis, made[row, left].yaxis):
            ax.tick_params(axis="y", labelleft=False)
            for text in [t for t in made[row, left].texts if t.get_label() == FORMAT]:
                text.remove()
        named = ax.xaxis.get_tick_params("major").get("length") == 0  # bars: each has its own name
        if below is not None and not named and _alike(ax.xaxis, made[below, column].xaxis):
            ax.tick_params(axis="x", labelbottom=False)
    for (row, column), ax in made.items():
        if any(
            r == row and c < column and a.get_ylabel() == ax.get_ylabel()
            for (r, c), a in made.items()
        ):
            ax.yaxis.label.set_visible(False)
        if any(
            c == column and r > row and a.get_xlabel() == ax.get_xlabel()
            for (r, c), a in made.items()
        ):
            ax.xaxis.label.set_visible(False)


def _alike(one: Axis, other: Axis) -> bool:
    """Whether two axes have the same limits, scales and tick labels."""
    here, there = (np.array(axis.get_view_interval()) for axis in (one, other))
    if np.abs(here - there).max() > 1e-9 * np.ptp(here):  # less is rounding
        return False
    written = [
        a.get_major_formatter().format_ticks(list(a.get_majorticklocs())) for a in (one, other)
    ]
    return one.get_scale() == other.get_scale() and written[0] == written[1]
