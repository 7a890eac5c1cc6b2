"""Text of a known width: what is needed to break lines so that they fit where they are to stand."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

__all__ = ["LINE", "ruler"]

LINE = 1.35 / 72
"""Height of a line of text in inches, for each point of its size."""

DPI = 300.0
"""Fine enough that no printer sees the rounding."""

HINTING = 1.02
"""On a coarse screen letters are moved to whole dots, and text becomes a little wider."""


@cache
def _renderer() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    return cast("Any", RendererAgg)(1, 1, DPI)


def ruler(size: float) -> Callable[[str], float]:
    """Return what measures the width of a line of text of a size in points, in inches."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family=["DejaVu Sans"], size=size)

    def width(text: str) -> float:
        wide, _, _ = _renderer().get_text_width_height_descent(text, font, False)
        return HINTING * float(wide) / DPI

    return width
