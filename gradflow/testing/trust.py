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
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradflow.core import cells
from gradflow.core.analyses.rtrl import rtrl
from gradflow.core.cells import Cell, variants
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Probe
from gradflow.core.network.stack import Network
from gradflow.core.record import Gradients, Norms, Timeline
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.testing.closed_forms import closed_forms
from gradflow.testing.conformance import Check, conformance, failed, measured
from gradflow.testing.published import SINGLE, published

__all__ = ["METHODS", "Evidence", "Trust", "known", "rtrl_error", "trust"]

INPUTS, STEPS, LAYERS, COLUMNS = 2, 12, 2, 2


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


def rtrl_error(cell: Cell) -> float:
    """Largest relative difference of a norm or a parameter's gradient, on a stack of the cell."""
    rng = np.random.default_rng(0)
    net = Network.of(cell, INPUTS, LAYERS)
    weights = tuple(
        (
            {
                name: rng.standard_normal((1, *spec.shape)) / math.sqrt(spec.cols)
                for name, spec in net.parameters(layer).items()
            },
        )
        for layer in range(LAYERS)
    )
    x = rng.standard_normal((STEPS, 1, INPUTS, COLUMNS))
    loss = Probe(rng.standard_normal((1, net.outputs, COLUMNS)), at="all")
    states = (*net.parts, "s", "x")
    timeline = Timeline(net, loss, [STEPS], 1, COLUMNS)
    gradients, norms = Gradients(net), Norms(timeline, states)
    backpropagate(net, weights, x, loss, [STEPS], [gradients, norms], Schedule(5))
    forward = rtrl(net, weights, x, loss, STEPS, states=states)
    series = forward.quantities(0, STEPS)
    errors = [
        _norms(quantity.values, series[name].values)
        for name, quantity in norms.quantities(0, STEPS).items()
    ]
    errors += [_vectors(gradients.sums[at], wanted) for at, wanted in forward.gradients.items()]
    return float(np.max(errors))


def _norms(got: Array, want: Array) -> float:
    """Of log10 norms, where two exact zeros are the same."""
    same = got == want
    gap = np.subtract(got, want, where=~same, out=np.zeros_like(got))
    return float(np.abs(np.expm1(gap * math.log(10))).max())


def _vectors(got: Scaled, want: Scaled) -> float:
    a, b = got.plain, want.plain
    size = float(np.linalg.norm(b))
    gap = float(np.linalg.norm(a - b))
    return gap / size if size else gap
