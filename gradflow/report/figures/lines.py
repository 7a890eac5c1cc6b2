"""Curves with bands on the axes of a panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradflow.report.figures.style import decade_axis, whole_axis
from gradflow.report.figures.traces import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["X", "band", "decades_over_steps"]

X = {"lag": "lag (steps back from the last loss)", "step": "step $k$"}
"""What may stand on the x axis, and its label."""


def decades_over_steps(ax: Axes, ends: tuple[float, float], x: str, label: str) -> float:
    """Let y count decades between `ends` and x steps; return where an exact 0 is drawn: below."""
    low, high = ends
    decade_axis(ax, low, high)
    whole_axis(ax)
    ax.set_xlabel(X[x])
    ax.set_ylabel(label)
    return low - (high - low) - 4


def band(ax: Axes, trace: Trace, x: str, line: dict[str, Any], floor: float = -np.inf) -> None:
    """Draw a median and its band, where there is a finite median; the band not below `floor`."""
    along = trace.lag if x == "lag" else trace.step
    alive = np.isfinite(trace.median)
    low, high = (np.maximum(y, floor)[alive] for y in (trace.low, trace.high))
    ax.fill_between(along[alive], low, high, color=line["color"], alpha=0.16, linewidth=0)
    marker = "o" if alive.sum() == 1 else None
    ax.plot(along[alive], trace.median[alive], marker=marker, ms=3, **line)
