"""What stands around the panels of a figure: heading and titles, labels, legend, small print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from gradflow.report.figures.style import GREY, literal
from gradflow.report.format import shortest, wrap

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Text

    from gradflow.report.figures.panels import Grid

__all__ = ["LINE", "LegendEntry", "Margins", "legend_columns", "ruler"]

LegendEntry = tuple["Artist", str]
"""A line or patch of the legend, and its name."""

PAD = 0.04
"""Between what stands at the edges, in inches."""

ROW_LINES = 2.5
"""About how many lines of text there may be beside a row; a longer name makes the row taller."""

WORD = 1.3 / 8
"""A word of a row's name that is longer than this may be broken, in inches for each point of its
size."""

SMALL = 5.5 / 8.0
"""Size of small print over that of other text."""

LEGEND = 0.94
"""Size of the legend's text over that of other text."""

LINE = 1.35 / 72
"""Height of a line of text in inches, for each point of its size."""

DPI = 300.0
"""Fine enough that no printer sees the rounding."""

KEY = 3.1
"""Space that a line of the legend takes beside its name, in sizes of its text: handle and gaps."""

APART = 1.4
"""Between the columns of a legend, in sizes of its text."""

HINTING = 1.02
"""On a coarse screen letters are moved to whole dots, and text becomes a little wider."""


@cache
def _renderer() -> Any:
    return cast("Any", RendererAgg)(1, 1, DPI)


def ruler(size: float) -> Callable[[str], float]:
    """Return what measures the width of a line of text of a size in points, in inches."""
    font = FontProperties(family=["DejaVu Sans"], size=size)

    def width(text: str) -> float:
        wide, _, _ = _renderer().get_text_width_height_descent(text, font, False)
        return HINTING * float(wide) / DPI

    return width


def legend_columns(names: Sequence[str], width: float, size: float) -> int:
    """Return the columns of a legend that has as few lines as fit into a width, and full ones.

    Parameters
    ----------
    names : sequence of str
        They run down the columns.
    width, size
        In inches; of the figure's text, in points.
    """
    size *= LEGEND
    fit = ruler(size)
    for lines in range(1, len(names)):
        across = -(-len(names) // lines)
        each = [max(map(fit, part)) for part in np.array_split(np.array(names), across)]
        if sum(each) + across * (KEY + APART) * size / 72 <= width:
            return across
    return 1


class Margins:
    """Margins that grow as things are put into them, from the outside inwards.

    All lengths are in inches. The height of the figure follows in the end: that of the panels, and
    of what stands above and below them.

    Parameters
    ----------
    fig : Figure
        Its width is final.
    height : float
        Of all panels together.
    """

    def __init__(self, fig: Figure, height: float) -> None:
        self.fig, self.height = fig, height
        self.normal = float(matplotlib.rcParams["font.size"])
        self.small = SMALL * self.normal
        self.width = float(fig.get_figwidth())
        self.left, self.right = 0.0, self.width
        self.top = self.bottom = PAD
        self._above: list[tuple[float, Text]] = []
        self._below: list[tuple[float, Text]] = []
        self._legend: tuple[float, Legend, bool] | None = None
        self._side: Text | None = None

    def note(self, text: str) -> None:
        """Write small print at the bottom."""
        lines = wrap(text, self.width - 2 * PAD, ruler(self.small)) if text else []
        if lines:
            written = self.fig.text(
                PAD / self.width, 0, literal("\n".join(lines)), fontsize=self.small, color=GREY,
                va="bottom", linespacing=1.2,
            )  # fmt: skip
            self._below.append((self.bottom, written))
            self.bottom += len(lines) * LINE * self.small + PAD

    def legend(self, entries: Sequence[LegendEntry], title: str, across: int, beside: bool) -> None:
        """Name the lines below the panels, or beside a single one."""
        fit = ruler(LEGEND * self.normal)
        wide = (self.width / 2 if beside else self.width) - 0.6
        names = ["\n ".join(wrap(name, wide, fit)) for _, name in entries]
        legend = self.fig.legend(
            [line for line, _ in entries],
            [literal(f" {name}") for name in names],  # one that starts with _ would be left out
            loc="upper right" if beside else "lower center",
            ncols=across,
            title=title or None,
            title_fontsize=LEGEND * self.normal,
            handlelength=2.4,
            columnspacing=APART,
            handletextpad=0.3,
            borderaxespad=0.0,
            borderpad=0.1,
        )
        box = legend.get_window_extent()
        self._legend = (self.bottom, legend, beside)
        if beside:
            self.right -= float(box.width) / self.fig.dpi + 4 * PAD
            self.height = max(self.height, float(box.height) / self.fig.dpi)
        else:
            self.bottom += float(box.height) / self.fig.dpi + 2 * PAD

    def labels(self, along: str, up: str, named: bool) -> None:
        """Write the labels of the axes that are common to all panels, whose rows may be `named`."""
        if along:
            self._below.append((self.bottom, self.fig.text(0.5, 0, along, ha="center")))
            self.bottom += self.normal * LINE - PAD
        if up:
            self._side = self.fig.text(
                PAD / self.width, 0.5, up, rotation=90, ha="left", va="center"
            )
            self.left += self.normal * LINE + (4 * PAD if named else PAD)

    def heading(self, text: str) -> None:
        """Write what all panels share above them."""
        if text:
            lines = wrap(text, self.width - 2 * PAD, ruler(self.normal))
            written = self.fig.text(PAD / self.width, 1, literal("\n".join(lines)), va="top")
            self._above.append((self.top, written))
            self.top += len(lines) * self.normal * LINE

    def panels(self, made: Mapping[tuple[int, int], Axes], grid: Grid[Any]) -> None:
        """Give the panels their titles, as wide as they are, and all things their place."""
        fit = ruler(self.normal)
        titles = {made[p.row, p.column]: grid.title(p) for p in grid.panels}
        sides = {
            made[row, min(c for r, c in made if r == row)]: n for row, n in enumerate(grid.rows)
        }
        for ax, title in titles.items():
            ax.set_title("T" if title else "", loc="left", pad=3)
        for ax in sides:
            ax.set_ylabel("T").set_visible(True)
        self._place()  # as if every text had one line: how wide and tall are the panels?
        boxes = {ax: ax.get_window_extent() for ax in made.values()}
        before, rows = self.height, grid.shape[0]
        self.height += self._missing(made, rows)
        if sides:
            tall = min(float(boxes[ax].height) / self.fig.dpi for ax in sides)
            word = WORD * self.normal
            needed = max(
                tall, *(max(fit(n) / ROW_LINES, shortest(n, fit, word)) for n in sides.values())
            )
            self.height += len(sides) * (needed - tall)
            for ax, name in sides.items():
                sides[ax] = "\n".join(wrap(name, needed, fit))
                ax.set_ylabel(literal(sides[ax]))
        for ax, title in titles.items():
            titles[ax] = "\n".join(wrap(title, float(boxes[ax].width) / self.fig.dpi, fit))
            ax.set_title(literal(titles[ax]), loc="left", pad=3)
        for row in range(rows):
            own = [titles[ax].count("\n") for (r, _), ax in made.items() if r == row]
            self.height += max(own) * self.normal * LINE
        if self.height > before or any("\n" in text for text in sides.values()):
            self._place()
        for ax in self.fig.axes:  # the solver's last digits depend on where things lie in memory
            box = ax.get_position(original=True)
            ax.set_position(Bbox.from_bounds(*(round(float(edge), 6) for edge in box.bounds)))

    def _missing(self, made: Mapping[tuple[int, int], Axes], rows: int) -> float:
        """Return by how much the labels of y axes are longer than these: the panels have to grow.

        A colour bar stands beside all rows, and so does the label that is common to all panels.
        """
        panels = set(made.values())
        each = [0.0]
        for ax in self.fig.axes:
            if ax.yaxis.label.get_visible() and ax.get_ylabel():
                long = float(ax.yaxis.label.get_window_extent().height)
                short = long - float(ax.get_window_extent().height)
                each.append(short * (rows if ax in panels else 1))
        if self._side:
            each.append(float(self._side.get_window_extent().height) - self.height * self.fig.dpi)
        return max(each) / self.fig.dpi

    def _place(self) -> None:
        """Fix the height of the figure, and where everything stands in it, for all formats."""
        tall = self.top + self.height + self.bottom
        self.fig.set_size_inches(self.width, tall)
        for above, text in self._above:
            text.set_y(1 - above / tall)
        for below, text in self._below:
            text.set_y(below / tall)
        if self._side:
            self._side.set_y((self.bottom + self.height / 2) / tall)
        if self._legend:
            below, legend, beside = self._legend
            at = (1 - PAD / self.width, 1 - self.top / tall) if beside else (0.5, below / tall)
            legend.set_bbox_to_anchor(at)
        rect = (
            self.left / self.width,
            self.bottom / tall,
            (self.right - self.left) / self.width,
            self.height / tall,
        )
        layout = ConstrainedLayoutEngine(
            w_pad=0.03, h_pad=0.03, hspace=0.04, wspace=0.03, rect=rect
        )
        self.fig.set_layout_engine(layout)
        layout.execute(self.fig)
        self.fig.set_layout_engine("none")
