"""The floor: the same matrix products and tanh calls alone, in NumPy, and nothing else.

Going forward a step is W h, its share of U x and tanh of gates and c; going back it is Wᵀ da with
the columns of all lengths that have joined, and between layers Uᵀ da. No sums, no slopes, no
norms: what a NumPy implementation in this layout cannot go below. Matrices are multiplied whole, as
one would write it, or in gradflow's bands.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.workloads import STATES, Problem
from gradflow.core.cells.arrays import product

BLOCK = 32


def prepare(problem: Problem, bands: bool = False) -> Callable[[], None]:
    """Take the fastest of U x by step or by block, and of Wᵀ as a view or as a copy."""
    times = product if bands else np.matmul
    ways = itertools.product((True, False), repeat=2)
    choices = [_Floor(problem, times, *each) for each in ways]
    return min(choices, key=_seconds)


def _seconds(run: Callable[[], None]) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


@dataclass(frozen=True)
class _Floor:
    problem: Problem
    times: Callable[[np.ndarray, np.ndarray], np.ndarray]
    blocks: bool
    copied: bool

    def __call__(self) -> None:
        work, x = self.problem.work, self.problem.x[:, None]
        rng = np.random.default_rng(0)

        def random(features: int, columns: int = work.sequences) -> np.ndarray:
            a = rng.standard_normal((work.nets, features, columns), dtype=self.problem.dtype)
            return np.asarray(a)

        h = random(work.hidden)
        for layer, directions in enumerate(self.problem.weights):
            for p in directions:
                self.forward(p, x, h)
            if layer + 1 < work.layers:
                x = np.broadcast_to(random(work.hidden * work.directions), (work.steps, *h.shape))
        wide = {}
        for layer, directions in enumerate(self.problem.weights):
            for p in directions:
                rows = p["U"].shape[1]
                for joined in range(1, len(work.lengths) + 1):
                    wide[joined] = random(rows, joined * work.sequences)
                self.backward(p, wide, dx=layer > 0)

    def forward(self, p: dict[str, np.ndarray], x: np.ndarray, h: np.ndarray) -> None:
        work, times, U = self.problem.work, self.times, p["U"]
        a = times(U, x[0])
        squashes = work.cell != "cec"
        for start in range(0, work.steps, BLOCK):
            block = x[start : start + BLOCK]
            if self.blocks:
                times(U, block)
            for xt in block:
                if not self.blocks:
                    times(U, xt)
                if "W" in p:
                    times(p["W"], h)
                if squashes:
                    np.tanh(a)
                if "c" in STATES[work.cell]:
                    np.tanh(h)

    def backward(self, p: dict[str, np.ndarray], wide: dict[int, np.ndarray], dx: bool) -> None:
        work = self.problem.work
        transposed = [p[name].swapaxes(1, 2) for name in ("W", "U")[: 1 + dx] if name in p]
        if self.copied:
            transposed = [np.ascontiguousarray(m) for m in transposed]
        for step in range(work.steps):
            da = wide[sum(step < length for length in work.lengths)]
            for matrix in transposed:
                self.times(matrix, da)
