"""The largest Lyapunov exponent of random tanh networks against mean-field theory.

    python -m benchmarks.lyapunov [--units 500 1000 2000] [--draws 16] [--steps 2000]

s_t = tanh(W s_{t−1}), W ~ N(0, g²/N), nothing else: for N → ∞ the largest exponent is ½ ln χ
(Sompolinsky, Crisanti & Sommers 1988). The error is that of the mean over draws of W; time alone
does not know how much these differ. Finite nets are slower, by 1 to 3 % at N = 1000, which sixteen
draws resolve; the shift shrinks faster than 1/N, so it is shown and not extrapolated. Exit code 1
if the exponent of the largest net is more than three standard errors away from theory.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

import numpy as np

from gradflow.core.analyses.spectrum import lyapunov
from gradflow.core.cells import RNN
from gradflow.core.network.initialise import Init, draw_parameters
from gradflow.core.network.stack import Network
from gradflow.core.theory import rnn_chi

GAINS = (1.5, 2.0)


def exponent(gain: float, units: int, steps: int, seed: int) -> float:
    """Of one draw, in nats per step, from a state that a first input has kicked."""
    net = Network.of(RNN(units), 1)
    init = Init(recurrent="normal", recurrent_gain=gain, input="normal")
    p = draw_parameters(net.layers[0].cell, 1, init, seed, 0, "forward")
    x = np.zeros((steps, 1, 1, 1))
    x[0] = 1.0
    found = lyapunov(net, (({name: a[None] for name, a in p.items()},),), x, 1)
    return float(found.nats[0, 0, 0])


def show(gain: float, units: int, mean: float, error: float, seconds: float) -> float:
    theory = rnn_chi(gain).rate * math.log(10)
    off = (mean - theory) / error
    print(
        f"{gain:4.1f}  {units:5d}  {mean:.5f} ± {error:.5f}   {theory:.5f}  {off:+10.2f}"
        f"  {seconds:8.1f}",
        flush=True,
    )
    return abs(off)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lyapunov")
    parser.add_argument("--units", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--steps", type=int, default=2000)
    chosen = parser.parse_args()
    worst = 0.0
    print("   g  units  largest exponent   theory   errors off   seconds")
    for gain in GAINS:
        off = 0.0
        for units in sorted(chosen.units):
            start = time.perf_counter()
            each = [exponent(gain, units, chosen.steps, seed) for seed in range(chosen.draws)]
            mean, error = np.mean(each), np.std(each, ddof=1) / math.sqrt(len(each))
            off = show(gain, units, float(mean), float(error), time.perf_counter() - start)
        worst = max(worst, off)
    return int(worst > 3)


if __name__ == "__main__":
    sys.exit(main())
