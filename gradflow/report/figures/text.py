"""Text of a known width: lines broken so that they fit where they are to stand."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, cast

__all__ = ["LINE", "ruler", "wrap"]

LINE = 1.35 / 72
"""Height of a line of text in inches, for each point of its size."""

DPI = 300.0
"""Fine enough that no printer sees the rounding."""

HINTING = 1.02
"""On a coarse screen letters are moved to whole dots, and text becomes a little wider."""

_BREAKS = re.compile(r"(?<=[ ,=·])|(?=\()")
"""After a space, comma, equals sign or dot, and before a bracket."""


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


def wrap(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Break a text into lines of at most `width`; inside of words only where it must be."""
    lines = [""]
    for piece in _BREAKS.split(text):
        if measure((lines[-1] + piece).rstrip()) <= width:
            lines[-1] += piece
            continue
        if lines[-1]:
            lines.append("")
        for letter in piece:
            if lines[-1] and measure(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return [line.rstrip() for line in lines]
