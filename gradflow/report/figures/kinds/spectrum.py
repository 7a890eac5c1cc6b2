"""The spectrum behind the norm: singular values by lag, and the rates they settle to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradflow.core.typing import Array
from gradflow.report.figures.facets import Panel, facets
from gradflow.report.figures.frame import figure
from gradflow.report.figures.hues import hue
from gradflow.report.figures.lines import decades_over_steps
from gradflow.report.figures.spots import Spot, statistics
from gradflow.report.figures.style import GREY, limits
from gradflow.report.figures.traces import none_recorded, pools
from gradflow.report.read.bands import quantile
from gradflow.report.read.records import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Rates", "Singular", "draw", "gather"]

PLACE = (0, "forward")
"""The spectrum is that of all layers together."""


@dataclass(frozen=True)
class Singular(Spot):
    """log10 of the singular values of ∂s_T/∂s_k, the median over seeds and sequences.

    Parameters
    ----------
    lag, step : array (n,)
        Ascending lags, and their steps.
    values : array (n, D)
        The largest first.
    """

    lag: Array
    step: Array
    values: Array


@dataclass(frozen=True)
class Rates(Spot):
    """Lyapunov exponents in decades per step, the largest first.

    Parameters
    ----------
    values, error : array (D,)
        Median over seeds and sequences; its standard error, of time and of seeds and sequences.
    """

    values: Array
    error: Array


def gather(run: Run) -> dict[str, list[Singular] | list[Rates]]:
    """Read singular values and exponents: a figure for each."""
    values: list[Singular] = []
    rates: list[Rates] = []
    wanted = ("singular", "lyapunov", "lyapunov_error")
    for group, length, results in pools(run, lambda name: name in wanted):
        first = results[0]["singular"]
        spot = (group.cell, length, group.axes, PLACE, len(results), len(first.values))
        every = np.concatenate([result["singular"].values for result in results])
        lag, step = (np.asarray(first.coords[name]) for name in ("lag", "step"))
        order = np.argsort(lag)
        values.append(Singular(*spot, lag[order], step[order], quantile(every, 0.5)[order]))
        each, errors = (
            np.concatenate([result[name].values for result in results]) for name in wanted[1:]
        )
        rates.append(Rates(*spot, quantile(each, 0.5), _error(each, errors)))
    if not values:
        raise none_recorded(run, "spectrum", "singular values")
    return {"singular": values, "lyapunov": rates}


def _error(each: Array, errors: Array) -> Array:
    """Return the standard error of a mean of independent estimates: theirs, and how they differ."""
    n = len(each)
    alive = np.isfinite(each).all(axis=0)
    own = np.sqrt(np.sum(errors**2, axis=0)) / n
    if n == 1:
        return np.where(alive, own, 0.0)
    between = np.std(np.where(alive, each, 0.0), axis=0, ddof=1) / np.sqrt(n)
    return np.where(alive, np.maximum(own, between), 0.0)


def draw(found: Sequence[Singular] | Sequence[Rates], name: str, x: str) -> Figure:
    """Draw all singular values by lag, a panel for each cell; or the exponents, by cell."""
    if name == "lyapunov":
        return _rates([one for one in found if isinstance(one, Rates)])
    every = [one for one in found if isinstance(one, Singular)]
    grid = facets(every, ())

    def panel(ax: Axes, one: Panel[Singular]) -> list[str]:
        decades_over_steps(
            ax, _range(one.spots), x, r"singular values of $\partial s_T\,/\,\partial s_k$"
        )
        (shown,) = one.spots
        count = shown.values.shape[1]
        for i in range(count)[::-1]:
            alive = np.isfinite(shown.values[:, i])
            along = shown.lag if x == "lag" else shown.step
            ax.plot(along[alive], shown.values[alive, i], **_line(i, count))
        dead = not np.isfinite(shown.values).all()
        return [*limits(ax), *(["a line that ends: exactly 0"] if dead else [])]

    keys = [
        (Line2D([], [], **_line(0, 3)), "the largest"),
        (Line2D([], [], **_line(2, 3)), "the others"),
    ]
    return figure(grid, panel, notes=[statistics(every, "median")], keys=keys)


def _line(i: int, count: int) -> dict[str, Any]:
    """Draw the largest one strongly, the others thinner and lighter downwards."""
    if i == 0:
        return {"color": "black", "linewidth": 1.4}
    share = 0.15 + 0.7 * i / max(1, count - 1)
    return {"color": matplotlib.colormaps["viridis"](share), "linewidth": 0.6}


def _range(spots: Sequence[Singular]) -> tuple[float, float]:
    values = np.concatenate([one.values[np.isfinite(one.values)] for one in spots])
    return (min(0.0, float(values.min())), max(0.0, float(values.max()))) if values.size else (0, 0)


def _rates(found: Sequence[Rates]) -> Figure:
    """Draw exponents from the largest to the smallest with their standard errors, by cell."""
    shown = hue(found)
    grid = facets(found, {shown.axis})

    def panel(ax: Axes, one: Panel[Rates]) -> list[str]:
        ax.axhline(0, color=GREY, linewidth=0.5, zorder=0.5)
        notes = []
        for spot in one.spots:
            line = shown.line(shown.key(spot))
            alive = np.isfinite(spot.values)
            share = (np.arange(len(alive)) + 0.5) / len(alive)
            ax.errorbar(
                share[alive],
                spot.values[alive],
                spot.error[alive],
                marker="o",
                ms=2,
                capsize=1.5,
                elinewidth=0.6,
                **{**line, "linewidth": 0.7},
            )
            if not alive.all():
                notes.append("exponents of −∞ (a direction that one step forgets) are left out")
        ax.set_xlim(0, 1)
        ax.set_xlabel("rank, as a share of all exponents")
        ax.set_ylabel("decades per step")
        return notes

    return figure(grid, panel, shown, ["Lyapunov exponents, the largest first, ± standard error"])
