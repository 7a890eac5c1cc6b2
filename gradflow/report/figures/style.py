"""What tells lines apart: colours and dashes of cells, gates and swept values, and their names."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.lines import Line2D

from gradflow.report.figures.sites import Site, varying
from gradflow.report.format import axis_names, cell_name
from gradflow.report.read.pairs import RUN

if TYPE_CHECKING:
    from gradflow.report.figures.traces import Trace

__all__ = [
    "COLOURS", "DARKER", "DASHES", "GATES", "GREY", "Hue", "by_cell", "by_gate", "by_parameter",
    "gate_keys", "hue", "in_turns", "literal", "look", "looks", "norm_label",
    "parameter_keys", "ramp", "swept_hues",
]  # fmt: skip

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The palette of Okabe and Ito (2008), told apart by the colour-blind; without its yellow, which
fades on paper."""

DARKER = ("#00395A", "#7A3600", "#00543D", "#8A3F6B", "#805800", "#1F5F85", "#8C8C8C")
"""The same by half, and black as grey: for lines beyond the seventh."""

DASHES: tuple[Any, ...] = (
    "-", (0, (4, 1.3)), (0, (1.2, 1.1)), (0, (6, 1.3, 1.2, 1.3)), (0, (9, 2.5)),
    (0, (6, 1.3, 1.2, 1.3, 1.2, 1.3)),
)  # fmt: skip
"""Solid, dashed, dotted, dash-dotted, long, dash-dot-dotted: they tell lines apart in black and
white, and let one that lies under another show through. With fourteen colours the pair repeats
after 42 lines."""

GREY = "#707070"

CLOSE = 0.012
"""Lines nearer to one another than this share of the panel's height lie on one another."""

STRETCH = 3.0
"""Length of the stretches in which lines that lie on one another take turns, in line widths."""

FIXED = (
    "rnn", "cec", "lstm", "lstm(peephole=diagonal)", "lstm(coupled)", "lstm(no forget_gate)", "gru",
)  # fmt: skip
"""Cells that look the same in the figures of every run."""

GATES = {
    "f": "forget f", "i": "input i", "o": "output o", "g": "candidate g", "z": "update z",
    "r": "reset r",
}  # fmt: skip

PARAMETERS = {
    "U": "input U", "W": "recurrent W", "V": "output V", "b": "biases b", "P": "peepholes P",
}  # fmt: skip


def look(i: int) -> dict[str, Any]:
    """Return colour and dashes number `i`."""
    return {"color": _colour(i), "linestyle": DASHES[i % len(DASHES)]}


def _colour(i: int) -> str:
    return (*COLOURS, *DARKER)[i % (len(COLOURS) + len(DARKER))]


def by_gate(gate: str) -> dict[str, Any]:
    """Return colour and dashes of a gate."""
    known = list(GATES)
    return look(known.index(gate) if gate in known else len(known))


def in_turns(
    lines: Sequence[dict[str, Any]], traces: Sequence[Trace], ends: tuple[float, float]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Let lines that lie on one another along most of their way take turns.

    Parameters
    ----------
    lines, traces
        The look of each, and where it runs.
    ends
        Of the y axis.

    Returns
    -------
    list of dict, list of str
        Their looks, and the note that these need.
    """
    near = CLOSE * (ends[1] - ends[0])
    groups: list[list[int]] = []
    for i, trace in enumerate(traces):
        for group in groups:
            if _together(traces[group[0]], trace, near):
                group.append(i)
                break
        else:
            groups.append([i])
    found = [dict(line) for line in lines]
    for group in groups:
        for turn, i in enumerate(group):
            if len(group) > 1:
                dashes = (STRETCH, (len(group) - 1) * STRETCH)
                found[i]["linestyle"] = (turn * STRETCH, dashes)
    several = any(len(group) > 1 for group in groups)
    return found, ["lines that lie on one another take turns"] if several else []


def _together(one: Trace, other: Trace, near: float) -> bool:
    """Whether two lines are near over more than 0.6 of the x axis: steps may be spaced in log."""
    a, b = one.median, other.median
    if a.shape != b.shape or a.size < 2:
        return False
    close = np.abs(np.subtract(a, b, where=a != b, out=np.zeros_like(a))) <= near
    width = np.diff(one.lag)
    return bool(width[close[1:] & close[:-1]].sum() > 0.6 * width.sum())


def gate_keys(gates: Collection[str]) -> list[tuple[Line2D, str]]:
    """Name the gates in a legend."""
    known = [*GATES, *gates]
    ordered = sorted(set(gates), key=known.index)
    return [(Line2D([], [], **by_gate(gate)), GATES.get(gate, gate)) for gate in ordered]


def by_parameter(kind: str) -> dict[str, Any]:
    """Return colour and dashes of a kind of parameters."""
    return look(list(PARAMETERS).index(kind))


def parameter_keys(kinds: Collection[str]) -> list[tuple[Line2D, str]]:
    """Name the kinds of parameters in a legend."""
    ordered = [kind for kind in PARAMETERS if kind in kinds]
    return [(Line2D([], [], **by_parameter(kind)), PARAMETERS[kind]) for kind in ordered]


def literal(text: str) -> str:
    """Escape a name, so that no ``$`` in it starts mathematics."""
    return text.replace("$", r"\$")


def norm_label(state: str, step: str = "k") -> str:
    """Write ‖∂L/∂s_k‖ for the axis of the norms."""
    state, _, which = state.partition(".")
    if not state.isalpha():
        return literal(state)
    what = r"\ell_{\mathrm{last}}" if which == "last" else "L"
    return rf"$\Vert\,\partial {what}\,/\,\partial {state}_{step}\Vert$"


def ramp(values: Sequence[float]) -> tuple[Any, Normalize]:
    """Choose a sequential colour map for the values of an axis, and the scale it runs along.

    The scale is logarithmic where the values are positive and span two decades.
    """
    low, high = min(values), max(values)
    logarithmic = low > 0 and high / low >= 100
    shades = matplotlib.colormaps["viridis"].resampled(256)(range(230))  # its yellow fades on paper
    return ListedColormap(shades), (LogNorm if logarithmic else Normalize)(low, high)


@dataclass(frozen=True)
class Hue:
    """What the colour of a line stands for.

    Parameters
    ----------
    axis : str
        Dotted path of a swept axis, or ``cell``, ``layer``, ``direction``.
    title : str
        The axis in words; empty for the cell, whose names need none.
    keys : tuple of str
        The values, written out, in the order of the sweep.
    numbers : tuple of float
        The values as numbers where all are, for a colour map; else empty.
    looks : tuple of int
        Of cells, their looks in all figures of the run; else empty.
    """

    axis: str
    title: str
    keys: tuple[str, ...]
    numbers: tuple[float, ...] = ()
    looks: tuple[int, ...] = ()

    def key(self, site: Site) -> str:
        """Return the value at a site."""
        return _key(site, self.axis)

    def line(self, key: str) -> dict[str, Any]:
        """Return colour and dashes of a value."""
        i = self.keys.index(key)
        if self.numbers:
            colours, scale = ramp(self.numbers)
            return {"color": colours(scale(self.numbers[i])), "linestyle": "-"}
        return look(self.looks[i] if self.looks else i)

    def beside(self, colours: Collection[str]) -> Hue:
        """Return looks that leave out colours, in hexadecimal digits, which are taken."""
        taken, found = set(colours), []
        for wanted in self.looks or range(len(self.keys)):
            found.append(_free(wanted, taken))
            taken.add(_colour(found[-1]).lower())
        return replace(self, numbers=(), looks=tuple(found))


def _free(wanted: int, taken: Collection[str]) -> int:
    """The look that is wanted, or the next whose colour is not taken; with none left, itself."""
    near = range(wanted, wanted + len(COLOURS) + len(DARKER))
    return next((i for i in near if _colour(i).lower() not in taken), wanted)


def looks(cells: Sequence[str]) -> dict[str, int]:
    """Give each cell of a run the look that it has in all figures; common cells keep theirs."""
    found = {cell: FIXED.index(cell) for cell in cells if cell in FIXED}
    for cell in cells:
        if cell not in found:
            found[cell] = next(i for i in itertools.count() if i not in found.values())
    return found


def hue(sites: Sequence[Site], cells: Sequence[str] = ()) -> Hue:
    """Choose what colour stands for: of swept axes and cell what has the most values.

    Of two runs over one another it is the run. Where neither varies it is the layer, then the
    direction. More values than there are colours are left to panels, unless they are numbers and
    have a colour map. `cells` are all of the run.
    """
    if RUN in varying(sites):
        return replace(_of(sites, RUN, ()), title="")
    kinds = [_of(sites, dim, cells) for dim in (*varying(sites), "cell")]
    fit = [one for one in kinds if one.numbers or len(one.keys) <= len(COLOURS)]
    best = max(fit or kinds[-1:], key=lambda one: len(one.keys))
    if len(best.keys) > 1 or len(kinds) > 1:
        return best
    places = [_of(sites, dim, cells) for dim in ("layer", "direction")]
    return next((one for one in places if len(one.keys) > 1), best)


def swept_hues(sites: Sequence[Site]) -> list[Hue]:
    """Return the swept axes with more than one value."""
    return [_of(sites, dim, ()) for dim in varying(sites)]


def by_cell(sites: Sequence[Site], inside: Collection[str] = (), cells: Sequence[str] = ()) -> Hue:
    """Let colour stand for the cell; where there is but one, for layer or direction."""
    kinds = [_of(sites, dim, cells) for dim in ("cell", "layer", "direction") if dim not in inside]
    return next((one for one in kinds if len(one.keys) > 1), kinds[0])


def _key(site: Site, dim: str) -> str:
    return cell_name(site.cell) if dim == "cell" else str(site.at(dim))


def _of(sites: Sequence[Site], dim: str, cells: Sequence[str]) -> Hue:
    keys = tuple(dict.fromkeys(_key(site, dim) for site in sites))
    if dim == "layer":
        keys = tuple(sorted(keys, key=int))
        return Hue(dim, dim, keys, tuple(map(float, keys)))
    if "." not in dim and dim not in sites[0].axes:
        shown = dict.fromkeys(site.cell for site in sites) if dim == "cell" else {}
        found = looks(list(dict.fromkeys([*cells, *shown])))
        own = tuple(found[cell] for cell in shown)
        return Hue(dim, "" if dim == "cell" else dim, keys, looks=own)
    values = {site.value(dim): site.axes.get(dim) for site in sites}
    numeric = [v for v in values.values() if isinstance(v, int | float) and type(v) is not bool]
    numbers = tuple(map(float, numeric)) if len(numeric) == len(values) else ()
    return Hue(dim, axis_names(varying(sites)).get(dim, dim), tuple(values), numbers)
