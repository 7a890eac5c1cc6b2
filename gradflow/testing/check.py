"""One property of one cell, measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["TOLERANCE", "Check", "failed", "measured"]

TOLERANCE = 1e-10


@dataclass(frozen=True)
class Check:
    """One property of one cell: its largest error, relative to the norm of what is compared.

    Parameters
    ----------
    cell : str
        Label of the cell.
    name : str
        What was compared with what.
    error, tolerance : float
        The largest relative error, and what it may be.
    note : str
        Why there is no error to measure, where the comparison itself failed.
    """

    cell: str
    name: str
    error: float
    tolerance: float = TOLERANCE
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the error is within its tolerance; NaN is not."""
        return self.error <= self.tolerance

    @property
    def reason(self) -> str:
        """What was found, in words."""
        return self.note or f"error {self.error:.1e} > {self.tolerance:g}"


def measured(
    label: str, name: str, error: Callable[[], float], tolerance: float = TOLERANCE
) -> Check:
    """Run a check; a claim about shapes, types or sameness that fails is an infinite error."""
    try:
        return Check(label, name, float(error()), tolerance)
    except Exception as problem:
        return failed(label, name, problem)


def failed(label: str, name: str, error: Exception) -> Check:
    """Return the check that an exception is."""
    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    return Check(label, name, float("inf"), note=f"{kind}{error}")
