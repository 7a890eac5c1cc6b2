"""A cell on trial: every property that the engine relies on, as a largest relative error."""

from __future__ import annotations

import numpy as np

from gradflow.core.cells import Cell, State
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.scan import Keep, drives, unroll
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Sum
from gradflow.core.network.stack import Network
from gradflow.core.record import Adjoints, Gradients, Norms, Timeline
from gradflow.core.typing import Array, Params

__all__ = ["CellTrial", "claim", "relative", "worst"]

STEP = 1e-200
INPUTS, NETS, COLUMNS = 2, 2, 4


class CellTrial:
    """A cell with weights, a state, a drive and a cotangent to try it on."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.rng = np.random.default_rng(0)
        normal = self.rng.standard_normal
        shapes = cell.parameters(INPUTS)
        self.p = {n: normal((NETS, *q.shape)) / np.sqrt(q.cols) for n, q in shapes.items()}
        self.state = tuple(normal((NETS, size, COLUMNS)) for size in cell.sizes)
        self.x = normal((NETS, INPUTS, COLUMNS))
        self.u = cell.drive(self.p, self.x)
        self.dstate = tuple(normal(part.shape) for part in self.state)
        _, self.cache = cell.step(self.p, self.state, self.u)
        self.local = cell.linearise(self.p, self.cache)
        self.back = cell.step_vjp(self.p, self.local, self.dstate)

    def purity(self) -> float:
        """Same result twice, arguments untouched, shapes as declared."""
        given = [*self.state, self.u, *self.p.values()]
        before = [a.copy() for a in given]
        first, _ = self.cell.step(self.p, self.state, self.u)
        again, _ = self.cell.step(self.p, self.state, self.u)
        local = [a.copy() for a in self.local]
        dstate = [a.copy() for a in self.dstate]
        self.cell.step_vjp(self.p, self.local, self.dstate)
        claim(
            all(_same(a, b) for a, b in zip(first, again, strict=True)),
            "step gives another result the second time",
        )
        claim(
            all(_same(a, b) for a, b in zip(before, given, strict=True)),
            "step changes its arguments",
        )
        claim(
            all(_same(a, b) for a, b in zip(local, self.local, strict=True)),
            "step_vjp changes its local derivatives",
        )
        claim(
            all(_same(a, b) for a, b in zip(dstate, self.dstate, strict=True)),
            "step_vjp changes its cotangent",
        )
        claim(
            [a.shape for a in first] == [a.shape for a in self.state],
            "the next state is shaped unlike the state",
        )
        rows = len(self.cell.gates) * self.cell.hidden
        claim(
            self.u.shape == (NETS, rows, COLUMNS),
            f"the drive is shaped {self.u.shape}, not {(NETS, rows, COLUMNS)}",
        )
        claim(
            len(self.back[2]) == len(self.cell.parts) - 1,
            "totals must hold every part after the first",
        )
        return 0.0

    def layout(self) -> float:
        """Parameters, drive, derivatives as the time loops lay them out, against as they come."""
        p = self.cell.ready(self.p, COLUMNS)
        (u,) = drives(self.cell, self.p, self.x[None], self.state)
        after, cache = self.cell.step(p, self.state, u)
        local = self.cell.packed(self.cell.linearise(p, cache))
        state, da, totals = self.cell.step_vjp(p, local, self.dstate)
        wanted = [*self.cell.step(self.p, self.state, self.u)[0], *self.back[0], self.back[1]]
        found = [*after, *state, da, *totals]
        return worst(*map(relative, found, [*wanted, *self.back[2]]))

    def _complex_step(self, state: State, u: Array) -> Array:
        after, _ = self.cell.step(self.p, state, u)
        each = [(a.imag * d).sum(axis=1) for a, d in zip(after, self.dstate, strict=True)]
        total: Array = np.sum(each, axis=0) / STEP
        return total

    def state_vjp(self) -> float:
        """Every component of every part of the state before."""
        state = tuple(part.astype(complex) for part in self.state)
        error = 0.0
        for k, got in enumerate(self.back[0]):
            rows = []
            for j in range(self.cell.sizes[k]):
                part = state[k].copy()
                part[:, j] += 1j * STEP
                rows.append(self._complex_step((*state[:k], part, *state[k + 1 :]), self.u))
            error = worst(error, relative(got, np.stack(rows, axis=1)))
        return error

    def drive_vjp(self) -> float:
        """Every component of the drive."""
        state = tuple(part.astype(complex) for part in self.state)
        rows = []
        for j in range(self.u.shape[1]):
            u = self.u.astype(complex)
            u[:, j] += 1j * STEP
            rows.append(self._complex_step(state, u))
        return relative(self.back[1][:, : self.u.shape[1]], np.stack(rows, axis=1))

    def input_vjp(self) -> float:
        """Every component of the input, under the drive's cotangent."""
        da = self.back[1]
        du, rows = da[:, : self.u.shape[1]], []
        for j in range(INPUTS):
            x = self.x.astype(complex)
            x[:, j] += 1j * STEP
            rows.append((self.cell.drive(self.p, x).imag * du).sum(axis=1) / STEP)
        return relative(self.cell.drive_vjp(self.p, da), np.stack(rows, axis=1))

    def blockwise(self) -> float:
        """Bit for bit: the derivative is elementwise."""
        stacked = tuple(np.stack([a, 2 * a]) for a in self.cache)
        both = self.cell.linearise(self.p, stacked)
        alone = [self.cell.linearise(self.p, tuple(k * a for a in self.cache)) for k in (1, 2)]
        for k in (0, 1):
            claim(
                all(_same(a[k], b) for a, b in zip(both, alone[k], strict=True)),
                "a block is linearised unlike its steps",
            )
        return 0.0

    def lengths(self) -> float:
        """An axis of lengths in front, third in memory, as the driver lays it out."""
        factors = np.array([1.0, -2.0, 0.5])[:, None, None, None]
        laid = tuple(
            np.ascontiguousarray((factors * d).transpose(1, 2, 0, 3)).transpose(2, 0, 1, 3)
            for d in self.dstate
        )
        state, da, totals = self.cell.step_vjp(self.p, self.local, laid)
        alone = [*self.back[0], self.back[1], *self.back[2]]
        together = zip([*state, da, *totals], alone, strict=True)
        return worst(*(relative(got, factors * one) for got, one in together))

    def nets(self) -> float:
        """The second net alone."""
        p = {name: a[1:] for name, a in self.p.items()}
        state = tuple(a[1:] for a in self.state)
        after, _ = self.cell.step(p, state, self.u[1:])
        both, _ = self.cell.step(self.p, self.state, self.u)
        return worst(*(relative(a, b[1:]) for a, b in zip(after, both, strict=True)))

    def single(self) -> float:
        """Types, and agreement to float32's precision."""
        p = {name: a.astype(np.float32) for name, a in self.p.items()}
        state = tuple(a.astype(np.float32) for a in self.state)
        after, cache = self.cell.step(p, state, self.cell.drive(p, self.x.astype(np.float32)))
        dstate = tuple(a.astype(np.float32) for a in self.dstate)
        back = self.cell.step_vjp(p, self.cell.linearise(p, cache), dstate)
        got = [*back[0], back[1], *back[2]]
        claim(all(a.dtype == np.float32 for a in (*after, *got)), "float32 does not stay float32")
        want = [*self.back[0], self.back[1], *self.back[2]]
        error = worst(*(relative(a, b) for a, b in zip(got, want, strict=True)))
        claim(error < 1e-4, f"float32 differs from float64 by {error:.1e}")
        return 0.0

    def through_time(self) -> float:
        """Norms of the driver against complex steps of the forward pass, each state component."""
        steps, shrunk = 40, {n: 0.2 * a[:1] for n, a in self.p.items()}
        x = self.rng.standard_normal((steps, 1, INPUTS, 1))
        net, loss = Network.of(self.cell, INPUTS), Sum()
        seen = Adjoints(net, inputs=True)
        norms = Norms(Timeline(net, loss, [steps], 1, 1), ["s"])
        backpropagate(net, ((shrunk,),), x, loss, [steps], [seen, norms], Schedule(7))
        tape, _ = unroll(self.cell, shrunk, x, net.initial(1, 1, x.dtype)[0][0], Keep.STATES)
        error = 0.0
        for k in range(0, steps, 3):
            want = _sum_after(self.cell, shrunk, x[k:], tape.states[k])
            log10 = float(norms.series["s"].values[0][0, 0, 0, 0, k])
            norm = float(np.linalg.norm(want))
            gap = 10**log10 - norm
            error = worst(error, abs(gap) / norm if norm else abs(gap))
        return error

    def parameters(self) -> float:
        """Every element of every parameter, over a few steps."""
        steps = 5
        x = self.rng.standard_normal((steps, 1, INPUTS, 1))
        p = {name: a[:1] for name, a in self.p.items()}
        net, loss = Network.of(self.cell, INPUTS), Sum(at="all")
        seen = Gradients(net)
        backpropagate(net, ((p,),), x, loss, [steps], [seen], Schedule(2))
        zero = tuple(part.astype(complex) for part in net.initial(1, 1, x.dtype)[0][0])
        error = 0.0
        for name, a in p.items():
            want = np.zeros(a.shape)
            for at in np.ndindex(a.shape):
                tried = {n: each.astype(complex) for n, each in p.items()}
                tried[name][at] += 1j * STEP
                tape, _ = unroll(self.cell, tried, x, zero, Keep.STATES)
                want[at] = tape.outputs().sum().imag / STEP
            total = seen.sums[0, 0, name]
            error = worst(error, relative(total.plain, want))
        return error


def _sum_after(cell: Cell, p: Params, x: Array, state: State) -> Array:
    """∂(Σ h_T)/∂ of every component of a state, by as many complex steps side by side."""
    size = sum(cell.sizes)
    nudges = np.split(1j * STEP * np.eye(size), np.cumsum(cell.sizes)[:-1])
    tried = tuple(part + nudge for part, nudge in zip(state, nudges, strict=True))
    _, end = unroll(cell, p, np.broadcast_to(x, (*x.shape[:-1], size)), tried, Keep.NOTHING)
    derivative: Array = end[0].imag.sum(axis=(0, 1)) / STEP
    return derivative


def relative(got: Array, want: Array) -> float:
    """‖got − want‖ / ‖want‖ over features, the largest of any column."""
    gap = np.linalg.norm(got - want, axis=-2)
    norm = np.linalg.norm(want, axis=-2)
    return float(np.max(np.where(norm > 0, gap / np.where(norm > 0, norm, 1), gap)))


def worst(*errors: float) -> float:
    """The largest; NaN if any is, which Python's max may pass over."""
    return float(np.max(errors))


def claim(holds: bool, otherwise: str) -> None:
    """Raise AssertionError unless something holds."""
    if not holds:
        raise AssertionError(otherwise)


def _same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a, b))
