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
from gradflow.experiment.store.runs import Run
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.panels import Panel, facets
from gradflow.report.figures.scales import decades_over_steps, limits
from gradflow.report.figures.sites import Site, statistics
from gradflow.report.figures.style import GREY, hue
from gradflow.report.figures.traces import none_recorded, pools
from gradflow.report.read.bands import finite_range, quantile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Rates", "Singular", "draw", "gather"]

PLACE = (0, "forward")
"""The spectrum is that of all layers together."""


@dataclass(frozen=True)
class Singular(Site):
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
class Rates(Site):
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
        site = (group.cell, length, group.axes, PLACE, len(results), len(first.values))
        every = np.concatenate([result["singular"].values for result in results])
        lag, step = (np.asarray(first.coords[name]) for name in ("lag", "step"))
        order = np.argsort(lag)
        values.append(Singular(*site, lag[order], step[order], quantile(every, 0.5)[order]))
        each, errors = (
            np.concatenate([result[name].values for result in results]) for name in wanted[1:]
        )
        rates.append(Rates(*site, quantile(each, 0.5), _error(each, errors)))
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


def draw(found: Sequence[Singular] | Sequence[Rates], name: str, setup: Setup) -> Figure:
    """Draw all singular values by lag, a panel for each cell; or the exponents, by cell."""
    if name == "lyapunov":
        return _rates([one for one in found if isinstance(one, Rates)], setup)
    every = [one for one in found if isinstance(one, Singular)]
    grid = facets(every, ())

    def panel(ax: Axes, one: Panel[Singular]) -> list[str]:
        decades_over_steps(
            ax, _range(one.sites), setup.x, r"singular values of $\partial s_T\,/\,\partial s_k$"
        )
        (shown,) = one.sites
        count = shown.values.shape[1]
        along = shown.lag if setup.x == "lag" else shown.step
        for i in range(count)[::-1]:
            column = shown.values[:, i]
            y = np.where(np.isfinite(column), column, np.nan)
            ax.plot(along, y, label=f"singular value {i + 1}", **_line(i, count))
        dead = not np.isfinite(shown.values).all()
        return [*limits(ax), *(["a line that ends: exactly 0"] if dead else [])]

    keys = [
        (Line2D([], [], **_line(0, 3)), "the largest"),
        (Line2D([], [], **_line(2, 3)), "the others, lighter downwards"),
    ]
    return figure(setup, grid, panel, notes=[statistics(every, "median")], keys=keys)


def _line(i: int, count: int) -> dict[str, Any]:
    """Draw the largest one strongly, the others thinner and lighter downwards."""
    if i == 0:
        return {"color": "black", "linewidth": 1.4}
    share = 0.15 + 0.7 * i / max(1, count - 1)
    return {"color": matplotlib.colormaps["viridis"](share), "linewidth": 0.6}


def _range(sites: Sequence[Singular]) -> tuple[float, float]:
    return finite_range([np.zeros(1), *(one.values for one in sites)])


def _rates(found: Sequence[Rates], setup: Setup) -> Figure:
    """Draw exponents from the largest to the smallest with their standard errors, by cell."""
    shown = hue(found, setup.cells)
    grid = facets(found, {shown.axis})

    def panel(ax: Axes, one: Panel[Rates]) -> list[str]:
        ax.axhline(0, color=GREY, linewidth=0.5, zorder=0.5)
        notes = []
        for site in one.sites:
            key = shown.key(site)
            line = shown.line(key)
            alive = np.isfinite(site.values)
            share = (np.arange(len(alive)) + 0.5) / len(alive)
            drawn = ax.errorbar(
                share[alive],
                site.values[alive],
                site.error[alive],
                marker="o",
                ms=2,
                capsize=1.5,
                elinewidth=0.6,
                **{**line, "linewidth": 0.7},
            )
            drawn.lines[0].set_label(key)
            if not alive.all():
                notes.append("exponents of −∞ (a direction that one step forgets) are left out")
        ax.set_xlim(0, 1)
        ax.set_xlabel("rank, as a share of all exponents")
        ax.set_ylabel("decades per step")
        return notes

    return figure(
        setup, grid, panel, shown, ["Lyapunov exponents, the largest first, ± standard error"]
    )
