"""The figure around the panels: its size, the legend outside of them, the small print."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradflow.report.plots.layout import Hue, Panel
from gradflow.report.plots.style import GREY, literal, ramp

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["figure"]

COLUMN = 3.45
"""Width of a paper's column, in inches."""

PAGE = 2 * COLUMN
"""Width of its page."""

BAR = 7
"""Numbers in a legend; more have a colour bar."""

BELOW = 3
"""Lines of a legend below a single panel; a longer one stands beside it."""


def figure(
    made: Sequence[Panel],
    draw: Callable[[Axes, Panel], Collection[str]],
    shown: Hue | None,
    notes: Collection[str],
    height: float = 1.75,
) -> Figure:
    """Lay out the panels, a legend outside of them, and notes below.

    One panel fills a paper's column, more than one its page's width.

    Parameters
    ----------
    made : sequence of Panel
        In reading order.
    draw : callable
        Fills the axes of a panel and may return further notes.
    shown : Hue or None
        What the legend explains, if there is to be one.
    notes : collection of str
        Small print.
    height : float
        Of a panel, in inches.
    """
    columns = min(len(made), 2 if len(made) == 4 else 3)
    lines = math.ceil(len(made) / columns)
    keys = _drawn(made, shown) if shown and len(shown.numbers) <= BAR else []
    width = COLUMN if columns == 1 else PAGE
    across = max(1, int(width / (0.5 + 0.062 * max(map(len, keys), default=1))))
    beside = columns == 1 and math.ceil(len(keys) / across) > BELOW
    width, across = (0.8 * PAGE, 1) if beside else (width, across)
    below = 0 if beside or len(keys) < 2 else math.ceil(len(keys) / across)
    tall = lines * (height if lines > 1 else max(height, 2.2)) + 0.16 * below + 0.25
    fig = Figure(figsize=(width, max(tall, 0.16 * len(keys) + 0.3 if beside else 0)))
    FigureCanvasAgg(fig)
    grid = fig.subplots(lines, columns, squeeze=False).ravel()
    texts = dict.fromkeys(notes)
    for i, (ax, panel) in enumerate(itertools.zip_longest(grid, made)):
        if panel is None:
            ax.remove()
            continue
        texts.update(dict.fromkeys(draw(ax, panel)))
        ax.set_title(literal(panel.title), loc="left", pad=3)
        if i % columns:
            ax.set_ylabel("")
        if i + columns < len(made):
            ax.set_xlabel("")
    bottom, right = _note(fig, "; ".join(filter(None, texts))), 1.0
    if shown and len(keys) > 1:
        bottom, right = _legend(fig, shown, keys, beside, across, bottom)
    elif shown and len(shown.numbers) > BAR:
        colours, scale = ramp(shown.numbers)
        bar = ScalarMappable(scale, colours)
        fig.colorbar(bar, ax=list(fig.axes), label=literal(shown.title), aspect=30, pad=0.02)
    space = (0.0, bottom, right, 1 - bottom)
    fig.set_layout_engine(
        "constrained", w_pad=0.03, h_pad=0.03, hspace=0.04, wspace=0.03, rect=space
    )
    return fig


def _note(fig: Figure, text: str) -> float:
    """Write small print at the bottom; return the height that it takes."""
    width, height = fig.get_size_inches()
    lines = textwrap.wrap(text, int(width / 0.047))
    x, y = 0.04 / width, 0.03 / height
    fig.text(x, y, literal("\n".join(lines)), fontsize=5.5, color=GREY, va="bottom")
    return float((0.1 * len(lines) + 0.03) / height)


def _legend(
    fig: Figure, shown: Hue, keys: Sequence[str], beside: bool, across: int, bottom: float
) -> tuple[float, float]:
    """Name the lines below or beside the panels; return where the space left to those ends."""
    legend = fig.legend(
        [Line2D([], [], **shown.line(key)) for key in keys],
        [literal(f" {key}") for key in keys],  # a label that starts with _ would be left out
        loc="upper right" if beside else "lower center",
        bbox_to_anchor=(1.0, 1.0) if beside else (0.5, bottom),
        ncols=across,
        title=literal(shown.title) or None,
        title_fontsize=7.5,
        handlelength=2.4,
        columnspacing=1.4,
        handletextpad=0.3,
        borderaxespad=0.2,
    )
    box = legend.get_window_extent().transformed(fig.transFigure.inverted())
    return (bottom, box.x0 - 0.06 / fig.get_figwidth()) if beside else (box.y1, 1.0)


def _drawn(made: Sequence[Panel], shown: Hue) -> list[str]:
    drawn = {shown.key(band) for panel in made for band in panel.bands}
    return [key for key in shown.keys if key in drawn]
