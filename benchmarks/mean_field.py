"""Mean field of gated cells against simulated networks.

    python -m benchmarks.mean_field [--units 1000] [--draws 3]

Every cell that the theory covers, silent after a kick and driven by noise, over gains from decay to
chaos: the leading exponent, measured from draws of W, beside what a population predicts from the
gains, drive and biases of one of them. ``off`` is their difference in standard errors of both; the
net's own is estimated from few draws, so single ones of 3 and more are no surprise, and chaotic
nets of finite N are slower by some 0.001 decades. Exit code 1 if a difference exceeds 0.01.
"""

from __future__ import annotations

import argparse
import math
import sys

import numpy as np

from gradflow.core.analyses.spectrum import lyapunov
from gradflow.core.cells import GRU, LSTM, RNN, Cell
from gradflow.core.network.initialise import Init, draw_parameters
from gradflow.core.network.stack import Network
from gradflow.core.theory import population_rate

STEPS = 256
GAINS = (0.5, 1.0, 2.0, 4.0)


def cells(units: int) -> list[Cell]:
    return [
        RNN(units),
        LSTM(units),
        LSTM(units, coupled=True),
        LSTM(units, peephole="diagonal"),
        GRU(units),
        GRU(units, reset="after"),
    ]


def inputs(driven: bool) -> np.ndarray:
    x = np.random.default_rng(0).standard_normal((STEPS, 1, 1, 1)) * driven
    x[0] = 1.0
    return x


def compare(cell: Cell, gain: float, driven: bool, draws: int) -> float:
    net, x = Network.of(cell, 1), inputs(driven)
    init = Init(recurrent="normal", recurrent_gain=gain, input="normal")
    weights = [draw_parameters(cell, 1, init, seed, 0, "forward") for seed in range(draws)]
    nets = [{name: a[None] for name, a in p.items()} for p in weights]
    each = [lyapunov(net, ((p,),), x, 1, settle=64).decades[0, 0, 0] for p in nets]
    mean, error = float(np.mean(each)), float(np.std(each, ddof=1)) / math.sqrt(draws)
    found = population_rate(cell, nets[0], x)
    off = (mean - found.rate) / math.hypot(error, found.error)
    print(
        f"{cell.label:24s} {gain:4.1f}  {'noise' if driven else 'kick':5s}"
        f"  {mean:+.4f} ± {error:.4f}   {found.rate:+.4f} ± {found.error:.4f}"
        f"   {mean - found.rate:+.4f}  {off:+5.1f}",
        flush=True,
    )
    return abs(mean - found.rate)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mean_field")
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=3)
    chosen = parser.parse_args()
    print(
        "cell                     gain  input  measured           predicted"
        "          difference  off"
    )
    differences = [
        compare(cell, gain, driven, chosen.draws)
        for cell in cells(chosen.units)
        for gain in GAINS
        for driven in (False, True)
    ]
    print(f"largest difference {max(differences):.4f} decades per step")
    return int(max(differences) > 0.01)


if __name__ == "__main__":
    sys.exit(main())
