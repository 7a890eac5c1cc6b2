"""The loops over time. There are no others.

`unroll` takes a state forward through a block of steps of one cell; `pull_back` takes an adjoint
back through them. Both know one cell and one block; layers, directions and the order of blocks are
the driver's. `pull_joint` takes adjoints of a whole stack's state back, for products of Jacobians;
`pass_on` takes a vector back unit by unit; `advance` takes a stack forward step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from gradflow.core.cells import Cell, Drive, State
from gradflow.core.cells.arrays import nets_last
from gradflow.core.cells.base import carrousel_of
from gradflow.core.cells.carrousel_only import blind
from gradflow.core.engine.squares import SMALL, Passed, in_range, square_norms
from gradflow.core.engine.tape import Keep, Stacked, Swept, Taken, Tape, piled, together
from gradflow.core.scaled import Scaled, stacked
from gradflow.core.typing import Array, Params

__all__ = [
    "DRIVEN",
    "DUST",
    "Keep",
    "Swept",
    "Taken",
    "Tape",
    "advance",
    "drives",
    "pass_on",
    "pull_back",
    "pull_carrousel",
    "pull_joint",
    "pull_plain",
    "unroll",
]


DRIVEN = 1 << 19
"""Bytes of drive that are made ahead: they are still in the second-level cache when read."""

_LOOK = 16
"""A sweep looks at its range where the index of a step divides by this."""

DUST = 1e-200
"""Below this an adjoint moves no weight; it is taken for zero where no exponent holds it up."""


def unroll(cell: Cell, p: Params, x: Array, state: State, keep: Keep) -> tuple[Tape, State]:
    """Take the state through the steps of x: s_t, cache_t = step(s_{t−1}, U x_t + b).

    Parameters
    ----------
    cell, p
        The cell and its parameters.
    x : array
        Inputs, ``(steps, nets, inputs, columns)``.
    state : State
        The state before the first step.
    keep : Keep
        What is left of each step. Local derivatives are taken while a step's arrays are in the
        processor's cache, those of small arrays in one call for the block.
    """
    tape = Tape(x, [state])
    local, states, caches = (one in keep for one in (Keep.LOCAL, Keep.STATES, Keep.CACHES))
    small, kept, slopes = False, list[tuple[Array, ...]](), list[tuple[Array, ...]]()
    p = cell.ready(p, x.shape[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        for u in drives(cell, p, x, state):
            state, cache = cell.step(p, state, u)
            if states:
                tape.states.append(state)
            small = bool(cache) and cache[0].size < SMALL
            if caches or (local and small):
                kept.append(cache)
            if local and not small:
                slopes.append(cell.linearise(p, cache))
        tape.local, tape.caches = slopes, kept if caches else ()
        if small and kept:
            block = together(kept, slice(None))
            if local:
                tape.local = Stacked(cell.packed(cell.linearise(p, block)))
            if caches:
                tape.caches = Stacked(block)
    return tape, state


def drives(cell: Cell, p: Params, x: Array, state: State) -> Iterator[Array | Drive]:
    """u of each step: to be made by the step itself, or made for some steps at once."""
    matrix = cell.side_by_side(p) if x.shape[-1] > 1 else None  # with one column nothing is gained
    if matrix is not None:
        bordered = np.concatenate((x, np.ones_like(x[..., :1, :])), axis=-2)
        shape = (len(x), len(matrix), *bordered.shape[-2:])
        yield from (Drive(matrix, xt) for xt in np.broadcast_to(bordered, shape))
        return
    ahead = max(1, DRIVEN // (state[0].nbytes * len(cell.gates)))
    for first in range(0, len(x), ahead):
        u = cell.drive(p, x[first : first + ahead])
        if state[0].flags.fnc:
            u = nets_last(u)
        yield from u


def advance(
    layers: Sequence[tuple[Cell, Params]], x: Array, states: list[State]
) -> Iterator[list[Taken]]:
    """Take a stack forward one step at a time, all layers of a step together.

    Parameters
    ----------
    layers : sequence of (Cell, Params)
        Cell and parameters of each layer, bottom up.
    x : array
        Inputs, ``(steps, nets, inputs, columns)``.
    states : list of State
        The state of each layer before the first step.
    """
    for seen in x:
        taken: list[Taken] = []
        for (cell, p), before in zip(layers, states, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):
                after, cache = cell.step(p, before, cell.drive(p, seen))
            taken.append(Taken(seen, before, after, cache))
            seen = after[0]
        states = [each.after for each in taken]
        yield taken


def pull_back(
    cell: Cell, p: Params, tape: Tape, adjoint: Scaled, inject: Scaled | None, keep: Keep
) -> Iterator[Swept]:
    """Take an adjoint back through a block: ds_{t−1}, da_t = step_vjp(ds_t + injection_t).

    Yields one `Swept` for the whole block or, where the adjoint changes by more than the range of
    its mantissas, several, latest first, each at its own exponent: a sweep that has come near the
    end of the range stops early, one that was too fast is done again in halves.

    Parameters
    ----------
    cell, p, tape
        The cell, its parameters, and what `unroll` left.
    adjoint : Scaled
        ∂L/∂ of the state after the block, through later steps only.
    inject : Scaled or None
        What joins ∂L/∂h at each step from the loss or the layer above,
        ``(steps, ..., nets, hidden, columns)``.
    keep : Keep
        Whether COTANGENTS stay.
    """
    todo = [(0, len(tape.local))]
    p = cell.ready(p, adjoint.parts[0].shape[-1])
    while todo:
        first, last = todo.pop()
        joining = None if inject is None else inject[first:last]
        home = 0 if last - first == 1 else None  # one step may take all of the range
        adjoint = adjoint.normalised(None if joining is None else joining[-1], home=home)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            swept = _sweep(cell, p, tape, (first, last), adjoint, joining, keep)
        if last - first > 1 and not in_range(swept.all_squares(), adjoint.dtype):
            middle = (first + last) // 2
            todo += [(first, middle), (middle, last)]
            continue
        if swept.start > first:
            todo.append((first, swept.start))
        adjoint = Scaled(swept.before, adjoint.exponent)
        yield swept


def _sweep(
    cell: Cell,
    p: Params,
    tape: Tape,
    steps: tuple[int, int],
    adjoint: Scaled,
    joining: Scaled | None,
    keep: Keep,
) -> Swept:
    """Go back over `steps` at the adjoint's exponent until its range may not suffice."""
    dstates, totals, das = Passed(), Passed(), list[Array]()
    dstate = adjoint.parts
    inject = None if joining is None else joining.at(adjoint.exponent).values
    first, last = steps
    local, cotangents = tape.local[first:last], Keep.COTANGENTS in keep
    for t in range(last - 1, first - 1, -1):
        if inject is not None:
            dstate = (dstate[0] + inject[t - first], *dstate[1:])
        dstates.add(dstate)
        dstate, da, total = cell.step_vjp(p, local[t - first], dstate)
        if cotangents:
            das.append(da)
        if total:
            totals.add(total)
        if t % _LOOK == 0 and not dstates.comfortable():
            break
    return Swept(
        dstates=dstates.in_time(),
        totals=totals.in_time() or [()] * (last - t),
        da=das[::-1],
        squares=dstates.squares(),
        total_squares=totals.squares(),
        start=t,
        exponent=adjoint.exponent,
        before=dstate,
        inject=None if joining is None else joining[t - first : last - first],
    )


def pull_plain(
    cell: Cell,
    p: Params,
    tape: Tape,
    steps: slice,
    dstate: State,
    inject: Sequence[Array | None],
    shorten: Callable[[Array], Array] | None = None,
) -> Array:
    """Take an adjoint back through some steps as it is, for the gradients that training needs.

    Without exponents an adjoint that falls below 1e-200 becomes zero before it is subnormal: it
    would change no weight, and subnormals slow a product a hundred times.

    Parameters
    ----------
    cell, p, tape
        The cell, its parameters, and what `unroll` left.
    steps : slice
        Which steps of the tape.
    dstate : State
        ∂L/∂ of the state after them, through later steps only.
    inject : sequence of array or None
        What joins ∂L/∂h after each of the steps from the loss or the layer above.
    shorten : callable or None
        Is given each ∂L/∂h_k and returns what goes on.

    Returns
    -------
    array
        ∂L/∂u of each step, ``(steps, nets, ·, columns)``.
    """
    das, local = list[Array](), tape.local[steps]
    p = cell.ready(p, dstate[0].shape[-1])
    for t in range(len(local) - 1, -1, -1):
        joining = inject[t]
        if joining is not None:
            dstate = (dstate[0] + joining, *dstate[1:])
        if shorten is not None:
            dstate = (shorten(dstate[0]), *dstate[1:])
        dstate, da, _ = cell.step_vjp(p, local[t], dstate)
        das.append(da)
        if t % _LOOK == 0:
            dstate = tuple(np.where(np.abs(part) < DUST, 0, part) for part in dstate)
    return piled(das[::-1])


def pull_carrousel(
    cell: Cell,
    p: Params,
    tape: Tape,
    steps: slice,
    dstate: State,
    inject: Sequence[Array | None],
    shorten: Callable[[Array], Array] | None = None,
) -> Array:
    """Take an adjoint back by the carrousel alone: dc_{t−1} = f_t ⊙ (dc_t + e_t ⊙ injection_t).

    What enters a step through h comes from the loss alone then, so all steps take their cotangents
    through the gates at once. See `CarrouselOnly`; arguments and result as those of `pull_plain`.
    """
    local, count = together(tape.local, steps), len(inject)
    carrousel, shape = carrousel_of(cell, local), (count, *dstate[-1].shape)
    keep = np.broadcast_to(carrousel.keep, shape)
    dh = np.zeros((count, *dstate[0].shape), dstate[0].dtype)
    for t, joining in enumerate(inject):
        if joining is not None:
            dh[t] = joining if shorten is None else shorten(joining)
    alone = carrousel.enter is None
    enters = carrousel.entering(p, dh)
    c, each = dstate[-1], np.empty(shape, dstate[-1].dtype)
    for t in range(count - 1, -1, -1):
        each[t] = c + enters[t] if alone else c
        c = keep[t] * (each[t] if alone else c + enters[t])
    nothing = tuple(np.zeros((count, *part.shape), part.dtype) for part in dstate[1:-1])
    through = (each,) if alone else (dh, *nothing, each)
    return cell.step_vjp(blind(cell, p), local, through)[1]


def pull_joint(
    layers: Sequence[tuple[Cell, Params, Tape]],
    adjoints: list[State],
    visit: Callable[[list[State]], list[State]],
) -> list[State]:
    """Take adjoints of a stack's joint state back through a block: (∂S_t/∂S_{t−1})ᵀ at each step.

    S_t holds the states of all layers after step t, as free inputs of step t + 1; an upper layer
    sees the h_t that the lower one has just made.

    Parameters
    ----------
    layers : sequence of (Cell, Params, Tape)
        Cell, parameters and tape of each layer, bottom up.
    adjoints : list of State
        Adjoints of S after the block, by layer; any number of them on a leading axis.
    visit : callable
        Is given the adjoints of S_{t−1} after each step, latest first, and returns what goes on.
    """
    local = [tape.local[:] for _, _, tape in layers]
    for t in range(len(local[0]) - 1, -1, -1):
        before: list[State] = []
        dh: Array | None = None
        for layer in range(len(layers) - 1, -1, -1):
            (cell, p, _), state = layers[layer], adjoints[layer]
            if dh is not None:
                state = (state[0] + dh, *state[1:])
            dstate, da, _ = cell.step_vjp(p, local[layer][t], state)
            before.append(dstate)
            dh = cell.drive_vjp(p, da) if layer else None
        adjoints = visit(before[::-1])
    return adjoints


def pass_on(keep: Sequence[Array], joining: Scaled | None, after: Scaled) -> tuple[Scaled, Scaled]:
    """Take a vector back unit by unit: y_t = a_t + joining_t, a_{t−1} = keep_t ⊙ y_t.

    Parameters
    ----------
    keep : sequence of array
        The factors of each step of a block.
    joining : Scaled or None
        What joins after each step, ``(steps, ..., nets, hidden, columns)``.
    after : Scaled
        a at the block's end.

    Returns
    -------
    each : Scaled
        y after each step, at exponents of its own.
    before : Scaled
        a at the block's start.
    """
    found: list[Scaled] = []
    todo = [(0, len(keep))]
    while todo:
        first, last = todo.pop()
        join = None if joining is None else joining[first:last]
        after = after.normalised(None if join is None else join[-1])
        each, a = [], after.values
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            joined = None if join is None else join.at(after.exponent).values
            for t in range(last - first - 1, -1, -1):
                y = a if joined is None else a + joined[t]
                each.append(y)
                a = keep[first + t] * y
        if last - first > 1 and not in_range(square_norms(each[::-1]), after.dtype):
            middle = (first + last) // 2
            todo += [(first, middle), (middle, last)]
            continue
        after = Scaled((a,), after.exponent)
        found += [Scaled((y,), after.exponent) for y in each]
    return stacked(found[::-1]), after
