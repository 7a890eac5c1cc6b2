"""The colours of heat maps: blue has vanished, white is 1, red has exploded."""

from __future__ import annotations

import matplotlib
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, SymLogNorm
from matplotlib.ticker import FuncFormatter

from gradflow.report.figures.frame import Bar
from gradflow.report.figures.style import power_of_ten

__all__ = ["NOTHING", "decades_bar", "diverging"]

NOTHING = "#dddddd"
"""Where there is no number: a quiet colour that is none of the map's."""


def diverging(low: float, high: float) -> tuple[SymLogNorm, Colormap]:
    """Make a scale for decades between `low` and `high`, zero in its middle."""
    most = max(-low, high, 3.0)
    scale = SymLogNorm(linthresh=1, linscale=0.5, vmin=-most, vmax=most, base=10)
    return scale, matplotlib.colormaps["RdBu_r"].with_extremes(bad=(0, 0, 0, 0))


def decades_bar(colours: ScalarMappable, label: str, low: float, high: float, rows: int) -> Bar:
    """Make the colour bar of a heat map of decades."""
    ticks = [side * k for k in (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000) for side in (-1, 1)]
    options = {"format": FuncFormatter(power_of_ten), "ticks": [0, *ticks], "aspect": 15 * rows}
    return Bar(colours, label, (min(low, -1.0), max(high, 1.0)), options)
