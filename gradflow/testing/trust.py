"""How far a cell can be trusted: its largest error against everything that knows better.

complex step
    The conformance suite: every derivative against the complex step, and what else the engine
    relies on (`gradflow.testing.conformance`).
RTRL
    Norms and gradients of the way back against real-time recurrent learning, which has none.
closed form
    Curves against what can be written down (`gradflow.testing.closed_forms`), at lags where norms
    are far below the smallest float.
published
    Forward values against those that other projects publish (`gradflow.testing.published`); they
    are in single precision.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradflow.core import cells
from gradflow.core.cells import Cell
from gradflow.core.cells.variants import variants
from gradflow.errors import UserError
from gradflow.testing import conformance
from gradflow.testing.check import Check, failed, measured
from gradflow.testing.closed_forms import closed_forms
from gradflow.testing.engines import rtrl_error
from gradflow.testing.published import SINGLE, published

__all__ = ["METHODS", "Evidence", "Trust", "known", "trust"]


@dataclass(frozen=True)
class Evidence:
    """What one method says of a cell.

    Parameters
    ----------
    checks : tuple of Check
        What it compared; empty where it knows nothing of the cell.
    """

    checks: tuple[Check, ...] = ()

    @property
    def error(self) -> float | None:
        """The largest error; None where there is none to measure."""
        errors = [check.error for check in self.checks]
        return float(np.max(errors)) if errors else None

    @property
    def passed(self) -> bool:
        """Whether every check is within its tolerance."""
        return all(check.passed for check in self.checks)


@dataclass(frozen=True)
class Trust:
    """One cell against every method.

    Parameters
    ----------
    kind, cell : str
        The kind and the label of the cell.
    evidence : mapping of str to Evidence
        By method.
    """

    kind: str
    cell: str
    evidence: Mapping[str, Evidence]

    @property
    def passed(self) -> bool:
        """Whether every method agrees."""
        return all(one.passed for one in self.evidence.values())

    @property
    def wrong(self) -> list[Check]:
        """The checks that failed."""
        return [c for one in self.evidence.values() for c in one.checks if not c.passed]


def _rtrl(cell: Cell) -> list[Check]:
    return [measured(cell.label, "norms and gradients against RTRL", lambda: rtrl_error(cell))]


def _closed(cell: Cell) -> list[Check]:
    return [measured(cell.label, form.name, form.error) for form in closed_forms(cell)]


def _published(cell: Cell) -> list[Check]:
    return [measured(cell.label, c.name, c.error, SINGLE) for c in published(cell.label)]


METHODS: dict[str, Callable[[Cell], list[Check]]] = {
    "complex step": conformance,
    "RTRL": _rtrl,
    "closed form": _closed,
    "published": _published,
}
"""The methods by name: each takes a cell and returns what it compared."""


def known(kinds: Sequence[str]) -> tuple[str, ...]:
    """Check the kinds that a user names; none means all.

    Raises
    ------
    UserError
        If there is no such cell; says which is near.
    """
    names = cells.names()
    for kind in kinds:
        if kind not in names:
            near = difflib.get_close_matches(kind, names, n=1)
            fix = f"did you mean {near[0]}?" if near else "a cell of your own: docs/own-cells.md"
            raise UserError(
                f"unknown cell {kind!r}\n  expected: any of {', '.join(names)}\n  fix: {fix}"
            )
    return tuple(dict.fromkeys(kinds)) or names


def trust(kind: str) -> Iterator[Trust]:
    """Try every variant of a kind, the plain one first.

    A cell that cannot even be made is one row that fails.
    """
    try:
        found = sorted(variants(cells.get(kind)), key=lambda cell: cell.label != kind)
    except Exception as error:
        yield Trust(kind, kind, {next(iter(METHODS)): Evidence((_unmade(kind, error),))})
        return
    for cell in found:
        with np.errstate(all="ignore"):  # what overflows is an error that is reported
            yield Trust(
                kind,
                cell.label,
                {name: Evidence(tuple(method(cell))) for name, method in METHODS.items()},
            )


def _unmade(kind: str, error: Exception) -> Check:
    return failed(kind, "making the cell", error)
