"""How figures look, whatever the user's matplotlibrc says, and how they become the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import matplotlib
from matplotlib.colors import Normalize

from gradflow.report.read.horizons import LIMITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "DASHES",
    "FORMAT",
    "GREY",
    "decade_axis",
    "length_axis",
    "limits",
    "literal",
    "norm_label",
    "power_of_ten",
    "private_style",
    "ramp",
    "render",
    "whole_axis",
    "whole_ticks",
]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The palette of Okabe and Ito (2008), told apart by the colour-blind; without its yellow, which
fades on paper."""

DASHES: tuple[Any, ...] = (
    "-", (0, (4, 1.3)), (0, (1.2, 1.1)), (0, (6, 1.3, 1.2, 1.3)), (0, (9, 2.5)),
    (0, (6, 1.3, 1.2, 1.3, 1.2, 1.3)),
)  # fmt: skip
"""Solid, dashed, dotted, dash-dotted, long, dash-dot-dotted: they tell lines apart in black and
white, and let one that lies under another show through. With seven colours the pair repeats after
42 lines."""

GREY = "#707070"

FORMAT = "_format"
"""Label of the texts that `limits` writes beside the axes; the underscore hides it from legends."""

_STYLE = {
    "axes.formatter.use_mathtext": True,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "axes.unicode_minus": True,
    "figure.dpi": 100,
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.1,
    "mathtext.fontset": "dejavusans",
    "path.simplify": False,
    "pdf.fonttype": 42,  # TrueType: type 3 fonts are refused by many journals
    "savefig.dpi": 300,
    "svg.fonttype": "path",
    "svg.hashsalt": "gradflow",
    "text.hinting": "no_hinting",  # widths then do not depend on the resolution
    "text.usetex": False,
    "xtick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.labelsize": 7,
    "ytick.major.width": 0.6,
}

_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""What would put a date or a version into the file, by format."""


@contextmanager
def private_style() -> Iterator[None]:
    """Draw in gradflow's style, then give the caller's settings back."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]  # keyed by literals
        yield


def render(figure: Figure, form: str) -> bytes:
    """Turn a figure into the bytes of a png, svg or pdf file: the same ones every time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, metadata=cast("dict[str, str]", _METADATA[form]))
    return buffer.getvalue()


def literal(text: str) -> str:
    """Escape a name, so that no ``$`` in it starts mathematics."""
    return text.replace("$", r"\$")


def norm_label(state: str) -> str:
    """Write ‖∂L/∂s_k‖ for the axis of the norms."""
    return (
        rf"$\Vert\,\partial L\,/\,\partial {state}_k\Vert$" if state.isalpha() else literal(state)
    )


def decade_axis(ax: Axes, low: float, high: float) -> None:
    """Make the y axis, which counts decades, run from `low` to `high` and read 10^k."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if high - low < 2:
        low, high = (low + high) / 2 - 1, (low + high) / 2 + 1
    margin = 0.04 * (high - low)
    ax.set_ylim(low - margin, high + margin)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 3, 5, 10]))
    ax.yaxis.set_major_formatter(FuncFormatter(power_of_ten))


def power_of_ten(exponent: float, _: object = None) -> str:
    """Write the tick of an axis that counts decades."""
    return f"$10^{{{exponent:.0f}}}$"


def whole_axis(ax: Axes) -> None:
    """Put the ticks of the x axis, which counts steps, at whole numbers."""
    ax.margins(x=0.02)
    whole_ticks(ax.xaxis)


def whole_ticks(axis: Axis) -> None:
    """Put the ticks of an axis at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 2.5, 5, 10]))


def length_axis(ax: Axes, lengths: Sequence[int]) -> None:
    """Make the x axis logarithmic, with ticks at the lengths swept, as far as they fit."""
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    ax.set_xscale("log", base=2)
    ax.margins(x=0.04)
    shown: list[int] = []
    for length in lengths:
        if not shown or length / shown[-1] >= (lengths[-1] / lengths[0]) ** 0.125:
            shown.append(length)
    ax.xaxis.set_major_locator(FixedLocator(shown))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))


def limits(ax: Axes) -> list[str]:
    """Mark beside the axes where the formats of floating point end, as far as the picture reaches.

    Returns the note that explains the marks, if there are any.
    """
    low, high = ax.get_ylim()
    marked: list[float] = []
    for name in reversed(list(LIMITS)):  # the widest first: it gets its label in any case
        for end in (LIMITS[name].zero, LIMITS[name].inf):
            if not low < end < high:
                continue
            ax.axhline(end, color=GREY, linewidth=0.5, linestyle=(0, (1, 2)), zorder=0.5)
            if all(abs(end - other) > 0.075 * (high - low) for other in marked):
                marked.append(end)
                ax.text(
                    1.01, end, name, fontsize=5.5, color=GREY, va="center",
                    transform=ax.get_yaxis_transform(), label=FORMAT,
                )  # fmt: skip
    return ["dotted: beyond it the format reads 0 (or ∞)"] if marked else []


def ramp(values: Sequence[float]) -> tuple[Any, Normalize]:
    """Choose a sequential colour map for the values of an axis, and the scale it runs along.

    The scale is logarithmic where the values are positive and span two decades.
    """
    from matplotlib.colors import ListedColormap, LogNorm

    low, high = min(values), max(values)
    logarithmic = low > 0 and high / low >= 100
    shades = matplotlib.colormaps["viridis"].resampled(256)(range(230))  # its yellow fades on paper
    return ListedColormap(shades), (LogNorm if logarithmic else Normalize)(low, high)
