"""Arrays that count what is done to them: the arithmetic of any cell, from its own equations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradflow.core.typing import Array

__all__ = ["Counted", "Tally", "counting", "depth_of"]


@dataclass
class Tally:
    """Operations and memory traffic.

    Parameters
    ----------
    products : int
        Multiplications and additions in matrix products, 2·n·k·m each.
    elementwise : int
        Other operations, one for each element of each result; tanh and exp count one.
    traffic : int
        Bytes read and written, every operand and result of every operation once.
    """

    products: int = 0
    elementwise: int = 0
    traffic: int = 0


_TALLY: ContextVar[Tally] = ContextVar("tally")


@contextmanager
def counting() -> Iterator[Tally]:
    """Count all operations with `Counted` arrays inside."""
    token = _TALLY.set(Tally())
    try:
        yield _TALLY.get()
    finally:
        _TALLY.reset(token)


class Counted(np.ndarray[Any, Any]):
    """An array that knows how many operations, one after the other, stand between it and a start.

    Views share the depth of their memory: it is a list of one number. A sum over k terms takes
    ⌈log2 k⌉ additions however many may run side by side.
    """

    depth: list[int]

    @classmethod
    def of(cls, a: Array, depth: int = 0) -> Counted:
        """Count what is done to an array from here on."""
        counted = np.array(a).view(cls)
        counted.depth = [depth]
        return counted

    def __array_finalize__(self, parent: Any) -> None:
        shared = isinstance(parent, Counted) and self.base is not None
        self.depth = parent.depth if shared and hasattr(parent, "depth") else [0]

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        kwargs = {name: _plain(value) for name, value in kwargs.items()}
        if out is not None:
            kwargs["out"] = tuple(_plain(a) for a in out)
        result = getattr(ufunc, method)(*map(_plain, inputs), **kwargs)
        tally, depth = _TALLY.get(), depth_of(*inputs)
        arrays = [a for a in inputs if isinstance(a, np.ndarray)]
        tally.traffic += sum(a.nbytes for a in arrays) + result.nbytes
        if ufunc is np.matmul:
            terms = inputs[0].shape[-1]
            tally.products += 2 * terms * result.size
            depth += 1 + math.ceil(math.log2(terms))
        else:
            tally.elementwise += result.size
            depth += 1
        if out is not None:
            out[0].depth[0] = max(out[0].depth[0], depth)
            return out[0]
        return Counted.of(result, depth)


def depth_of(*values: Any) -> int:
    """The largest depth among values; what is not counted was there from the start."""
    return max((a.depth[0] for a in values if isinstance(a, Counted)), default=0)


def _plain(a: Any) -> Any:
    return a.view(np.ndarray) if isinstance(a, Counted) else a
