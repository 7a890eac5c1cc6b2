"""Singular values in decimal arithmetic of 800 digits."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def exact(factors: list[Array], powers: list[int] | None = None) -> Array:
    """log10 of the singular values of diag(2^powers) times the product, in decimal arithmetic."""
    n = len(factors[0])
    with localcontext() as context:
        context.prec = 800
        columns = [[Decimal(int(i == j)) for i in range(n)] for j in range(n)]
        for factor in factors:
            rows = [[Decimal(float(v)) for v in row] for row in factor]
            columns = [[dot(row, column) for row in rows] for column in columns]
        if powers is not None:
            scale = [Decimal(2) ** power for power in powers]
            columns = [[s * v for s, v in zip(scale, c, strict=True)] for c in columns]
        for _ in range(20):
            for i in range(n):
                for j in range(i + 1, n):
                    rotate(columns, i, j)
        return np.sort([float(dot(c, c).log10()) / 2 for c in columns])[::-1]


def dot(a: list[Decimal], b: list[Decimal]) -> Decimal:
    return sum((x * y for x, y in zip(a, b, strict=True)), Decimal(0))


def rotate(columns: list[list[Decimal]], i: int, j: int) -> None:
    a, b = columns[i], columns[j]
    cross = dot(a, b)
    if cross == 0:
        return
    zeta = (dot(b, b) - dot(a, a)) / (2 * cross)
    t = (1 if zeta >= 0 else -1) / (abs(zeta) + (1 + zeta * zeta).sqrt())
    c = 1 / (1 + t * t).sqrt()
    columns[i] = [c * (x - t * y) for x, y in zip(a, b, strict=True)]
    columns[j] = [c * (t * x + y) for x, y in zip(a, b, strict=True)]
