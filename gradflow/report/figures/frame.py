"""The figure around the panels: its size, headings, the legend outside of them, the small print."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradflow.report.figures.edges import Edges, Key
from gradflow.report.figures.facets import Grid, Panel
from gradflow.report.figures.hues import Hue
from gradflow.report.figures.neighbours import common_labels, thin_out
from gradflow.report.figures.spots import Spot
from gradflow.report.figures.style import literal, ramp

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLUMN", "PAGE", "Bar", "Key", "figure"]

COLUMN = 3.45
"""Width of a paper's column, in inches."""

PAGE = 2 * COLUMN
"""Width of its page."""

HEIGHTS = (2.0, 1.6, 1.4, 1.2)
"""Height of a row of panels in inches, by how many rows there are."""

BAR = 7
"""Numbers in a legend; more have a colour bar."""

BELOW = 3
"""Lines of a legend below a single panel; a longer one stands beside it."""

S = TypeVar("S", bound=Spot)


@dataclass(frozen=True)
class Bar:
    """A colour bar beside all panels: its colours, its label, its ends, and how it is drawn."""

    colours: ScalarMappable
    label: str
    ends: tuple[float, float] | None = None
    options: dict[str, Any] = field(default_factory=dict)


def figure(
    grid: Grid[S],
    draw: Callable[[Axes, Panel[S]], Collection[str]],
    shown: Hue | None = None,
    notes: Collection[str] = (),
    height: float | None = None,
    keys: Sequence[Key] = (),
    bar: Bar | None = None,
) -> Figure:
    """Lay out the panels, a legend outside of them, a heading above and notes below.

    One column of panels fills a paper's column, more than one its page's width. What neighbours
    share, ticks, labels and the names of formats, is written once.

    Parameters
    ----------
    grid : Grid
        The panels.
    draw : callable
        Fills the axes of a panel and may return further notes.
    shown : Hue, optional
        What the legend explains, or a colour bar where there are many numbers.
    notes : collection of str
        Small print.
    height : float, optional
        Of a row of panels, in inches.
    keys : sequence of artist and str
        Further entries of the legend.
    bar : Bar, optional
        A colour bar of the panels' own.
    """
    rows, columns = grid.shape
    entries = [*_entries(grid, shown), *keys]
    width = COLUMN if columns == 1 else PAGE
    longest = max((len(name) for _, name in entries), default=1)
    across = max(1, int((width - 0.2) / (0.5 + 0.06 * longest)))
    beside = columns == rows == 1 and math.ceil(len(entries) / across) > BELOW
    if beside:
        width, across = 0.8 * PAGE, 1
    height = height or HEIGHTS[min(rows, len(HEIGHTS)) - 1]
    fig = Figure(figsize=(width, rows * height))
    FigureCanvasAgg(fig)
    places = fig.subplots(rows, columns, squeeze=False)
    texts = dict.fromkeys(notes)
    made: dict[tuple[int, int], Axes] = {}
    for panel in grid.panels:
        ax = made[panel.row, panel.column] = places[panel.row, panel.column]
        texts.update(dict.fromkeys(draw(ax, panel)))
    for ax in set(places.flat) - set(made.values()):
        ax.remove()
    along, up = common_labels(made)
    thin_out(made)
    edges = Edges(fig, rows * height)
    edges.note("; ".join(filter(None, dict.fromkeys([*texts, grid.note]))))
    if len(entries) > 1 or keys:
        edges.legend(entries, literal(shown.title) if shown else "", across, beside)
    elif shown and len(shown.numbers) > BAR:
        colours, scale = ramp(shown.numbers)
        bar = Bar(ScalarMappable(scale, colours), literal(shown.title), options={"aspect": 30})
    if bar:
        drawn = fig.colorbar(
            bar.colours, ax=list(made.values()), label=bar.label, pad=0.02, **bar.options
        )
        drawn.ax.minorticks_off()
        drawn.ax.set_ylim(bar.ends)
    edges.labels(along, up)
    edges.heading(grid.heading)
    edges.panels(made, grid)
    return fig


def _entries(grid: Grid[S], shown: Hue | None) -> list[Key]:
    """Name the lines that were drawn."""
    if shown is None or len(shown.numbers) > BAR:
        return []
    drawn = {shown.key(spot) for panel in grid.panels for spot in panel.spots}
    keys = [key for key in shown.keys if key in drawn]
    if len(keys) < 2:
        return []
    return [(Line2D([], [], **shown.line(key)), key) for key in keys]
