"""What neighbouring panels share is written once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from gradflow.report.figures.style import FORMAT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = ["common_labels", "thin_out"]

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
        if below is not None and _alike(ax.xaxis, made[below, column].xaxis):
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
    if not np.array_equal(one.get_view_interval(), other.get_view_interval()):
        return False
    written = [
        a.get_major_formatter().format_ticks(list(a.get_majorticklocs())) for a in (one, other)
    ]
    return one.get_scale() == other.get_scale() and written[0] == written[1]
