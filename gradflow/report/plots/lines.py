"""Curves with bands on the axes of a panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradflow.report.plots.traces import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["X", "band"]

X = {"lag": "lag (steps back from the last loss)", "step": "step $k$"}
"""What may stand on the x axis, and its label."""


def band(ax: Axes, trace: Trace, x: str, line: dict[str, Any], floor: float = -np.inf) -> None:
    """Draw a median and its band, where there is a finite median; the band not below `floor`."""
    along = trace.lag if x == "lag" else trace.step
    alive = np.isfinite(trace.median)
    low, high = (np.maximum(y, floor)[alive] for y in (trace.low, trace.high))
    ax.fill_between(along[alive], low, high, color=line["color"], alpha=0.16, linewidth=0)
    marker = "o" if alive.sum() == 1 else None
    ax.plot(along[alive], trace.median[alive], marker=marker, ms=3, **line)
