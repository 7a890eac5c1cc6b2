"""Long time lags: what was read first decides the answer, and all between means nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradflow.core.inputs.task import (
    Batch,
    Criterion,
    Seed,
    Task,
    at_least,
    one_hot,
    sequence_streams,
)
from gradflow.core.registry import option

__all__ = ["NoiseFreeLag", "NoisyLag", "TwoSequence"]


@dataclass(frozen=True)
class NoiseFreeLag(Task):
    """Predict the next symbol of y a₁ a₂ … a_{p−1} y or x a₁ a₂ … a_{p−1} x; T = p.

    Hochreiter & Schmidhuber (1997, section 5.2, experiments 2a and 2b): the last symbol is the
    first one again, p steps later. (With another length T it is T steps later, and a₁ … a_{p−1}
    come round again.) With `order` random the symbols between are drawn anew from
    a₁ … a_{p−1} for each sequence (2b), so that none foretells the next. A sequence is right if no
    output at the last step is off by 0.25; so must 10,000 in a row be.
    """

    kind = "noise-free-lag"
    target_kind = "classes"

    shortest = 2

    symbols: int = option(10, "p, in the papers the length as well", least=2, most=10_000)
    order: Literal["same", "random"] = option("same", "of the symbols between (2a, 2b)")

    @property
    def features(self) -> int:
        """a₁ … a_{p−1}, x and y."""
        return self.symbols + 1

    @property
    def criterion(self) -> Criterion:
        """10,000 right in a row."""
        return Criterion(within=0.25, window=10_000)

    def draw(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Draw ``x`` (p, 1, p + 1, sequences); a target at the last step, or at all in order."""
        at_least(steps, self.shortest, self.kind)
        codes = np.empty((steps, sequences), dtype=np.int64)
        targets = np.full((steps, 1, sequences), -1)
        codes[1:] = np.arange(steps - 1)[:, None] % (self.symbols - 1)
        for j, rng in sequence_streams(seed, self.kind, sequences):
            codes[0, j] = self.symbols - 1 + rng.integers(2)
            if self.order == "random":
                codes[1:, j] = rng.integers(self.symbols - 1, size=steps - 1)
        if self.order == "same":
            targets[:-1, 0] = codes[1:]
        targets[-1, 0] = codes[0]
        return Batch(one_hot(codes, self.features), targets, "classes", classes=self.features)


@dataclass(frozen=True)
class NoisyLag(Task):
    """Tell at the end of b y a_i a_j … e, or b x a_i a_j … e, whether y or x was read; T steps.

    Hochreiter & Schmidhuber (1997, section 5.2, experiment 2c): all between is drawn from p
    distractors a₁ … a_p, so that there is neither a regularity nor a local clue. A sequence is
    right if no output is off by 0.2; so must 10,000 in a row be.
    """

    kind = "noisy-lag"
    target_kind = "classes"
    targets_at = "last"
    shortest = 4

    distractors: int = option(10, "p", least=1, most=10_000)

    @property
    def features(self) -> int:
        """a₁ … a_p, b, e, x and y."""
        return self.distractors + 4

    @property
    def criterion(self) -> Criterion:
        """10,000 right in a row."""
        return Criterion(within=0.2, window=10_000)

    def draw(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Draw ``x`` (T, 1, p + 4, sequences); targets ``classes``, two, at the last step."""
        at_least(steps, self.shortest, self.kind)
        p = self.distractors
        codes = np.empty((steps, sequences), dtype=np.int64)
        targets = np.full((steps, 1, sequences), -1)
        for j, rng in sequence_streams(seed, self.kind, sequences):
            which = rng.integers(2)
            codes[:, j] = rng.integers(p, size=steps)
            codes[1, j], targets[-1, 0, j] = p + 2 + which, which
        codes[0], codes[-1] = p, p + 1
        return Batch(one_hot(codes, self.features), targets, "classes", classes=2)

    def baseline(self, steps: int) -> float:
        """ln 2: a guess between two."""
        return math.log(2)


BOUNDS = {"after": (0.2, 0, 0.01), "all": (0.2, 5, 0.04), "targets": (0.1, 0, 0.015)}
"""By noise: what no error may reach, how many do all the same, and the bound on their mean."""


@dataclass(frozen=True)
class TwoSequence(Task):
    """Tell two classes by the first N of T numbers, noise and signal on the same line.

    Bengio, Simard & Frasconi (1994); Hochreiter & Schmidhuber (1997, section 5.3):

    =========  =========================  ===============  =====================
    ``noise``  the first N numbers        the others       target
    =========  =========================  ===============  =====================
    after      1 or −1                    N(0, 0.2)        1 or 0            (3a)
    all        1 or −1, plus N(0, 0.2)    N(0, 0.2)        1 or 0            (3b)
    targets    1 or −1, plus N(0, 0.2)    N(0, 0.2)        0.8 or 0.2,
                                                           plus N(0, 0.1)    (3c)
    =========  =========================  ===============  =====================

    N(0, v) has variance v. The criterion is a test set of 256 whose targets have no noise: none of
    them off by 0.2 (3b: at most five; 3c: none by 0.1) and, but for ST1 of 3a and 3b, which
    `strict` false asks for, a mean error below 0.01 (3b: 0.04; 3c: 0.015).
    """

    kind = "two-sequence"
    target_kind = "values"
    two_valued = True
    targets_at = "last"
    features = 1

    informative: int = option(3, "N", least=1, most=10_000)
    noise: Literal["after", "all", "targets"] = option("after", "where there is noise (3a, 3b, 3c)")
    strict: bool = option(True, "whether the mean error counts, too (ST2)")

    @property
    def shortest(self) -> int:
        """The signal, and a step after."""
        return self.informative + 1

    @property
    def criterion(self) -> Criterion:
        """A test set of 256."""
        within, misses, mean = BOUNDS[self.noise]
        return Criterion(within, 256, misses, mean if self.strict else None, test=256)

    def draw(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Draw ``x`` (T, 1, 1, sequences); targets ``values`` with m = 1 at the last step."""
        return self._draw(steps, sequences, seed, noise=math.sqrt(0.1))

    def draw_test(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """As `draw`, but targets without noise."""
        return self._draw(steps, sequences, seed, noise=0.0)

    def _draw(self, steps: int, sequences: int, seed: Seed, noise: float) -> Batch:
        at_least(steps, self.shortest, self.kind)
        x = np.empty((steps, 1, 1, sequences))
        targets = np.full((steps, 1, 1, sequences), np.nan)
        for j, rng in sequence_streams(seed, self.kind, sequences):
            which = int(rng.integers(2))
            x[:, 0, 0, j] = math.sqrt(0.2) * rng.standard_normal(steps)
            signal = x[: self.informative, 0, 0, j]
            signal[:] = 2 * which - 1 + (0 if self.noise == "after" else signal)
            targets[-1, 0, 0, j] = which
            if self.noise == "targets":
                targets[-1, 0, 0, j] = 0.2 + 0.6 * which + noise * rng.standard_normal()
        return Batch(x, targets, "values")

    def baseline(self, steps: int) -> float:
        """Var of the target."""
        return 0.09 + 0.1 if self.noise == "targets" else 0.25
