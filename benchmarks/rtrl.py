"""`python -m benchmarks.rtrl`: what the way forward costs against the way back, for one gradient.

Both compute ∂L/∂θ of every parameter; RTRL also with the norms ‖∂L/∂s_k‖ at all steps. One
sequence, one thread, medians.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from gradflow.core import cells
from gradflow.core.analyses.rtrl import rtrl
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Loss, Probe
from gradflow.core.network.stack import Network
from gradflow.core.record import Gradients, Norms, Timeline
from gradflow.report.figures.style import COLOURS, DASHES, GREY, private_style

HERE = Path(__file__).parent
INPUTS = 4
WIDTHS, STEPS = (4, 8, 16, 32, 64), 32
LENGTHS, HIDDEN = (32, 64, 128, 256, 512, 1024, 2048), 8
SIDES = {
    "BPTT, gradients": "back",
    "BPTT, gradients and all norms": "back-norms",
    "RTRL, gradients": "forward",
    "RTRL, gradients and all norms": "forward-norms",
}


def setting(kind: str, hidden: int, length: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    net = Network.of(cells.get(kind)(hidden), INPUTS)
    shapes = net.parameters(0).items()
    p = {name: rng.normal(size=(1, *q.shape)) / np.sqrt(hidden) for name, q in shapes}
    x = rng.normal(size=(length, 1, INPUTS, 1))
    return net, ((p,),), x, Probe(rng.normal(size=(1, hidden, 1))), length


def side(name: str, net: Any, weights: Any, x: Any, loss: Loss, length: int) -> Callable[[], None]:
    norms = name.endswith("norms")

    def back() -> None:
        watching: list[Any] = [Gradients(net)]
        if norms:
            watching.append(Norms(Timeline(net, loss, [length], 1, 1), ["h", "c", "s"]))
        backpropagate(net, weights, x, loss, [length], watching, Schedule(64))

    def forward() -> None:
        rtrl(net, weights, x, loss, length, states=("h", "c", "s") if norms else ())

    return back if name.startswith("back") else forward


def seconds(run: Callable[[], None], repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(kind: str) -> dict[str, dict[str, list[float]]]:
    """Milliseconds a step over widths and seconds a sequence over lengths, by side."""
    found: dict[str, dict[str, list[float]]] = {"width": {}, "length": {}}
    for title, name in SIDES.items():
        if not name.endswith("norms"):
            each = [seconds(side(name, *setting(kind, width, STEPS))) for width in WIDTHS]
            found["width"][title] = [1e3 * s / STEPS for s in each]
        each = [seconds(side(name, *setting(kind, HIDDEN, length))) for length in LENGTHS]
        found["length"][title] = each
        print(title, {axis: [f"{t:.3g}" for t in f[title]] for axis, f in found.items()
                      if title in f}, flush=True)  # fmt: skip
    return found


def plot(found: dict[str, dict[str, list[float]]], kind: str, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    with private_style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 3.1), layout="constrained")
        for axes, xs, what in ((left, WIDTHS, "width"), (right, LENGTHS, "length")):
            for index, title in enumerate(SIDES):
                if title in found[what]:
                    axes.plot(
                        xs,
                        found[what][title],
                        color=COLOURS[index // 2],
                        linestyle=DASHES[index % 2],
                        marker="o",
                        markersize=3,
                        label=title,
                    )
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_xticks(xs, [str(value) for value in xs])
        guide(left, WIDTHS, found["width"]["RTRL, gradients"], 4, "$H^4$")
        guide(right, LENGTHS, found["length"]["RTRL, gradients and all norms"], 2, "$T^2$")
        left.set(xlabel="hidden units H", ylabel="ms a step")
        right.set(xlabel="steps T", ylabel="s a sequence")
        left.set_title(f"{kind}, T = {STEPS}: a step forward grows towards $H^4$", loc="left")
        right.set_title(f"{kind}, H = {HIDDEN}: norms at all steps cost $T^2$", loc="left")
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        figure.savefig(path, dpi=160)


def guide(axes: Any, xs: Sequence[int], ys: Sequence[float], power: int, label: str) -> None:
    """A slope above the curve's end."""
    last = np.array(xs[-2:], float)
    line = 4 * ys[-1] * (last / last[-1]) ** power
    axes.plot(last, line, color=GREY, linewidth=0.8)
    axes.annotate(label, (last[0], line[0]), color=GREY, ha="right", va="bottom")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rtrl", description=__doc__)
    parser.add_argument("--cell", default="lstm", choices=cells.names())
    parser.add_argument("--out", type=Path, default=HERE / "rtrl.png", help="where the plot goes")
    options = parser.parse_args()
    plot(measure(options.cell), options.cell, options.out)


if __name__ == "__main__":
    main()
