"""Gradients of many nets side by side, as training needs them: plain numbers, at once.

The measuring driver (`bptt`) gives every column an exponent of its own and looks at every step; an
update looks at none and is lost in rounding where a number leaves the range. So this pass is lean:
one sweep forward, one back, and one product for each parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gradflow.core.cells import Cell, Summand
from gradflow.core.cells.arrays import nets_last
from gradflow.core.engine.scan import pull_carrousel, pull_plain, unroll
from gradflow.core.engine.tape import Keep, Tape, together
from gradflow.core.network.stack import Network, Weights, reads
from gradflow.core.typing import Array, Params

__all__ = ["Unrolled", "WeightGradients", "unrolled", "weight_gradients"]

WeightGradients: TypeAlias = tuple[tuple[dict[str, Array], ...], ...]
"""By layer, direction and name, each ``(nets, rows, cols)``."""


@dataclass(frozen=True)
class Unrolled:
    """A net after its way forward.

    Parameters
    ----------
    tapes : list of list of Tape
        By layer and direction; each one block, in its own time.
    """

    tapes: list[list[Tape]]

    def outputs(self, layer: int, steps: Iterable[int] | None = None) -> Array:
        """[h→; h←] of a layer at some steps, or all: ``(steps, nets, features, columns)``."""
        length = len(self.tapes[layer][0].states) - 1
        chosen = range(length) if steps is None else steps
        each = [
            np.array([tape.states[length - t if way else t + 1][0] for t in chosen])
            for way, tape in enumerate(self.tapes[layer])
        ]
        return each[0] if len(each) == 1 else np.concatenate(each, axis=-2)

    def ends(self, layer: int) -> Array:
        """[h→_T; h←_1] of a layer, each direction's own last: ``(1, nets, features, columns)``."""
        return np.concatenate([tape.states[-1][0] for tape in self.tapes[layer]], axis=-2)[None]


def unrolled(net: Network, weights: Weights, x: Array, *, back: bool = True) -> Unrolled:
    """Take nets forward from a state of zero through all steps of x.

    A state that overflows stays what it is, infinite or NaN, in its own net.

    Parameters
    ----------
    net, weights : Network, Weights
        The network and the parameters of each net.
    x : array
        Inputs ``(steps, nets, inputs, columns)``.
    back : bool
        Whether a way back follows, and its derivatives are to be kept.
    """
    nets, columns = len(next(iter(weights[0][0].values()))), x.shape[-1]
    keep = Keep.STATES | Keep.LOCAL | Keep.CACHES if back else Keep.STATES
    found = Unrolled([])
    for index, before in enumerate(net.initial(nets, columns, x.dtype)):
        if columns == 1:
            before = tuple(tuple(map(nets_last, state)) for state in before)
        cell = net.layers[index].cell
        read = found.outputs(index - 1) if index else x
        found.tapes.append(
            [
                unroll(cell, weights[index][way], reads(way, read), state, keep)[0]
                for way, state in enumerate(before)
            ]
        )
    return found


def weight_gradients(
    net: Network,
    weights: Weights,
    forward: Unrolled,
    dy: list[Array | None],
    *,
    carrousel: bool = False,
    span: tuple[int, int] | None = None,
    shorten: Callable[[Array], Array] | None = None,
) -> WeightGradients:
    """Take ∂L/∂y_t back, and give ∂L/∂θ summed over steps and columns.

    Parameters
    ----------
    net, weights, forward
        The nets and their way forward.
    dy : list of array or None
        ∂L/∂y_t of each step, ``(nets, features, columns)``; None: none.
    carrousel : bool
        Whether error goes back by the carrousel alone, see `CarrouselOnly`.
    span : pair of int, optional
        Only the steps first + 1, …, last: what leads further back is cut.
    shorten : callable, optional
        See `pull_plain`.
    """
    first, last = span or (0, len(dy))
    steps = slice(first, last)
    found: list[tuple[dict[str, Array], ...]] = []
    for index in range(len(net.layers) - 1, -1, -1):
        cell, dx, each = net.layers[index].cell, [], []
        H = cell.sizes[0]
        for direction, tape in enumerate(forward.tapes[index]):
            p = weights[index][direction]
            rows = slice(direction * H, (direction + 1) * H)
            own = [d if d is None else d[..., rows, :] for d in dy[:: -1 if direction else 1]]
            nothing = tuple(np.zeros_like(part) for part in tape.states[0])
            if nothing[0].flags.fnc:
                own = [d if d is None else nets_last(d) for d in own]
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                back = pull_carrousel if carrousel else pull_plain
                da = back(cell, p, tape, steps, nothing, own[steps], shorten)
                each.append(_parameters(cell, p, tape, da, steps))
            if index:
                dx.append(reads(direction, cell.drive_vjp(p, da)))
        found.append(tuple(each))
        if index:
            below = dx[0] if len(dx) == 1 else dx[0] + dx[1]
            dy = [None] * first + list(below) + [None] * (len(dy) - last)
    return tuple(found[::-1])


def _parameters(cell: Cell, p: Params, tape: Tape, da: Array, steps: slice) -> dict[str, Array]:
    """Sum left ⊗ right over the steps of a sweep, for each parameter."""
    states = together(tape.states, slice(steps.start, steps.stop + 1))
    before, after = (tuple(part[cut] for part in states) for cut in (slice(-1), slice(1, None)))
    caches = together(tape.caches, steps)
    found, rights = dict[str, Array](), dict[str, Array | None]()
    for name, summands in cell.summands(p, caches, da, before, after, tape.x[steps]).items():
        if _meets_all(summands, da):
            rights[name] = summands[0].right
        else:
            blocks = [_sum(summand) for summand in summands]
            found[name] = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=-2)
    return found | _sums(da, rights) if rights else found


def _meets_all(summands: list[Summand], da: Array) -> bool:
    """Whether a parameter's rows are those of da, block by block, and all meet the same."""
    _, form, _, right = summands[0]
    rows = 0
    for one in summands:
        lies = one.left.strides == da.strides and _address(one.left) == _address(da[..., rows:, :])
        if not lies or one.form != form or form == "diagonal" or one.right is not right:
            return False
        rows += one.left.shape[-2]
    whole: bool = rows == da.shape[-2]
    return whole


def _address(a: Array) -> int:
    address: int = a.__array_interface__["data"][0]
    return address


def _sums(left: Array, rights: dict[str, Array | None]) -> dict[str, Array]:
    """Σ left ⊗ right over steps and columns, of all of them in one product; None stands for 1."""
    steps, nets, rows, columns = left.shape
    widths = [1 if right is None else right.shape[-2] for right in rights.values()]
    ends = np.cumsum(widths).tolist()
    spans = dict(zip(rights, map(slice, [0, *ends[:-1]], ends), strict=True))
    beside = np.empty((nets, steps, columns, ends[-1]), left.dtype)
    for name, right in rights.items():
        beside[..., spans[name]] = 1 if right is None else right.transpose(1, 0, 3, 2)
    # (steps, nets, ·, columns) → (nets, ·, steps · columns)
    lefts = left.transpose(1, 2, 0, 3).reshape(nets, rows, -1)
    total = lefts @ beside.reshape(nets, -1, ends[-1])
    return {name: total[..., span] for name, span in spans.items()}


def _sum(summand: Summand) -> Array:
    """Σ left ⊗ right over steps and columns, ``(nets, rows, cols)``."""
    _, form, left, right = summand
    if form == "diagonal" and right is not None:
        total: Array = np.einsum("tnrc,tnrc->nr", left, right)[..., None]
        return total
    return _sums(left, {"": right})[""]
