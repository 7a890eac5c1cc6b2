"""The flow map: the loss of every step against the state of every step, a panel for each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.experiment.store.runs import Run
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.panels import Panel, facets
from gradflow.report.figures.scales import NOTHING, decades_bar, diverging, edges, whole_ticks
from gradflow.report.figures.sites import Site, statistics
from gradflow.report.figures.traces import none_recorded, pools
from gradflow.report.read.bands import finite_range, quantile
from gradflow.report.read.records import original_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Map", "draw", "gather"]


PREFIX = "flow."


@dataclass(frozen=True)
class Map(Site):
    """log10 ‖∂L_t/∂s_k‖, the median over seeds and sequences.

    Parameters
    ----------
    loss_step, step : array
        t and k in original time, ascending.
    values : array (t, k)
        −inf where no path leads from the state to the loss.
    """

    loss_step: Array
    step: Array
    values: Array


def gather(run: Run) -> dict[str, list[Map]]:
    """Read the maps of the longest sequences, by state."""
    found: dict[str, list[Map]] = {}
    for group, length, results in pools(run, lambda name: name.startswith(PREFIX)):
        for name in results[0]:
            quantity = results[0][name]
            every = [result[name].values for result in results]
            losses = np.asarray(quantity.coords["loss_step"])
            down = np.argsort(losses)
            for i, layer in enumerate(np.asarray(quantity.coords["layer"]).tolist()):
                for j, way in enumerate(np.asarray(quantity.coords["direction"]).tolist()):
                    if not quantity.exists(layer=i, direction=j):
                        continue
                    if way == "backward" and "length" in quantity.coords:
                        raise UserError(
                            f"{run.name}: backward, sequences that end at lengths of their own "
                            "have no steps in common\n"
                            "  fix: gradflow export has the numbers of each"
                        )
                    steps = original_step(np.asarray(quantity.coords["step"]), way, length)
                    right = np.argsort(steps)
                    middle = quantile(np.concatenate([one[i, j] for one in every]), 0.5)
                    found.setdefault(name.removeprefix(PREFIX), []).append(
                        Map(
                            group.cell,
                            length,
                            group.axes,
                            (layer, way),
                            len(every),
                            every[0].shape[2],
                            losses[down],
                            steps[right],
                            middle[down][:, right],
                        )
                    )
    if not found:
        raise none_recorded(run, "flow_map", "flow maps")
    return found


def draw(maps: Sequence[Map], state: str, setup: Setup) -> Figure:
    """Draw loss step t against step k: blue has vanished, white is 1, grey is no path at all."""
    grid = facets(maps, ())
    low, high = finite_range(one.values for one in maps)
    scale, colours = diverging(low, high)

    def panel(ax: Axes, one: Panel[Map]) -> list[str]:
        (shown,) = one.sites
        ax.set_facecolor(NOTHING)
        ax.pcolormesh(
            edges(shown.step),
            edges(shown.loss_step),
            np.where(np.isfinite(shown.values), shown.values, np.nan),
            norm=scale,
            cmap=colours,
            rasterized=True,
        )
        ax.set_xlabel("step $k$ of the state" if state != "x" else "step $k$ of the input")
        ax.set_ylabel("step $t$ of the loss")
        whole_ticks(ax.xaxis)
        whole_ticks(ax.yaxis)
        return []

    columns = grid.shape[1]
    wide = setup.width(columns) / setup.scale / columns
    dead = any(np.isneginf(one.values).any() for one in maps)
    label = rf"$\Vert\,\partial L_t\,/\,\partial {state}_k\Vert$"
    tall = min(2.4, 0.72 * wide)
    return figure(
        setup,
        grid,
        panel,
        notes=[statistics(maps, "median"), "blue: vanished, white: 1, red: exploded"],
        height=tall,
        keys=[(Patch(color=NOTHING), "exactly 0: no path from k to t")] if dead else [],
        bar=decades_bar(ScalarMappable(scale, colours), label, low, high, grid.shape[0], tall),
    )
