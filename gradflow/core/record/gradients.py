"""Derivatives themselves, summed over passes: of the states, and of every parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gradflow.core.cells import Summand
from gradflow.core.engine.observe import Block, Reading
from gradflow.core.engine.tape import Keep
from gradflow.core.network.stack import Network, Weights
from gradflow.core.record.series import Series
from gradflow.core.scaled import Scaled, concatenated
from gradflow.core.typing import Array

__all__ = ["Adjoints", "Gradients", "factors", "summands_of"]


class Adjoints:
    """∂L/∂s_k and ∂L/∂x_k, where L is the sum of the losses of one or several passes.

    ``sums[layer, direction, step]`` has the parts of ∂L/∂s_k as free inputs of what follows, and
    then the total derivatives of the parts after ``h``: ``([lengths,] nets, features, columns)``.
    ``x[step]`` has ∂L/∂x_k. Several passes have one length each.

    Parameters
    ----------
    net : Network
        The network that is observed.
    series : mapping of str to Series, optional
        Norms to fill, named ``h``, ``s`` and as other parts. Sums that are complete (see `begin`)
        go there and are kept no longer.
    inputs : bool
        Whether ∂L/∂x is wanted, of one pass.
    """

    needs = Keep.NOTHING

    def __init__(
        self, net: Network, series: Mapping[str, Series] | None = None, *, inputs: bool = False
    ) -> None:
        self.net, self.series, self.needs_inputs = net, series or {}, inputs
        self.sums: dict[tuple[int, int, int], Scaled] = {}
        self.x: dict[int, Scaled] = {}
        self._start = 0

    def begin(self, start: int) -> None:
        """Let a pass set out that goes back to `start`, and later ones no farther."""
        self._start = start
        if self.series:
            for place in [place for place in self.sums if place[-1] < start]:
                self._settle(*place)

    def block(self, block: Block) -> None:
        """Add the steps of a block, and where the pass ends at its start the state there."""
        swept = block.swept
        each = [d + t for d, t in zip(swept.dstates, swept.totals, strict=True)]
        for k, parts in enumerate(each, start=block.first + 1):
            self._add((block.layer, block.direction, k), Scaled(parts, swept.exponent))
        if block.first == self._start:
            origin = Scaled(swept.before + swept.before[1:], swept.exponent)
            self._add((block.layer, block.direction, self._start), origin)

    def inputs(self, first: int, dx: Scaled) -> None:
        """Keep ∂L/∂x."""
        if self.needs_inputs:
            self.x |= {first + k + 1: dx[k] for k in range(len(dx.values))}

    def of(self, name: str, layer: int, direction: int, step: int) -> Scaled:
        """One sum: of ``h`` or another part in total, ``carried_c`` as a free input, or ``s``."""
        total = self.sums[layer, direction, step]
        parts = self.net.layers[layer].cell.parts
        if name == "s":
            return concatenated([Scaled((a,), total.exponent) for a in total.parts[: len(parts)]])
        carried = name == "h" or name.startswith("carried_")
        index = parts.index(name.removeprefix("carried_"))
        own = total.parts[index if carried else len(parts) - 1 + index]
        return Scaled((own,), total.exponent)

    def _add(self, place: tuple[int, int, int], term: Scaled) -> None:
        self.sums[place] = self.sums[place] + term if place in self.sums else term

    def _settle(self, layer: int, direction: int, step: int) -> None:
        for name, own in self.series.items():
            if layer in own.layers:
                logs = self.of(name, layer, direction, step).norm().log10
                own.put((layer, direction), step, logs[None])
        del self.sums[layer, direction, step]


_SAFE = 2.0**400
"""A product of factors between this and its inverse is far from either end of float64's range."""


class Gradients:
    """Gradients of all parameters, Σ over steps and sequences, for each net and each length.

    ``sums[layer, direction, name]`` is ∂L/∂ of a cell's parameter, shaped as the parameter, with an
    axis of lengths, the longest first, in front where several run together. Contributions are added
    at one exponent for each net, so that neither an exploding nor a vanishing adjoint leaves the
    range; `weights` are the same as ordinary arrays. ``readout`` has ∂L/∂V and ∂L/∂b.

    Parameters
    ----------
    net : Network
        The network.
    each_sequence : bool
        Whether sequences stay apart, on an axis before the rows.
    """

    needs = Keep.STATES | Keep.CACHES | Keep.COTANGENTS
    needs_inputs = False

    def __init__(self, net: Network, *, each_sequence: bool = False) -> None:
        self.net, self.each_sequence = net, each_sequence
        self.sums: dict[tuple[int, int, str], Scaled] = {}
        self.readout: dict[str, Array] = {}

    @property
    def weights(self) -> Weights:
        """∂L/∂ of every parameter by layer and direction: 0 or infinite beyond float's range."""
        layers = self.net.layers
        found: list[list[dict[str, Array]]] = [[{} for _ in one.directions] for one in layers]
        for (layer, direction, name), total in self.sums.items():
            found[layer][direction][name] = total.plain
        return tuple(map(tuple, found))

    def block(self, block: Block) -> None:
        """Add the block's steps."""
        for name, gates in summands_of(block).items():
            new, key = self._total(gates, block), (block.layer, block.direction, name)
            if key in self.sums:
                several = block.swept.exponent.ndim > 3
                joined = len(new.values) - len(self.sums[key].values) if several else 0
                new = self.sums[key].grown(joined) + new
            self.sums[key] = new

    def inputs(self, first: int, dx: Scaled) -> None:
        """Parameters do not depend on ∂L/∂x."""

    def reading(self, reading: Reading) -> None:
        """Add what the loss steps of a span give for the readout."""
        readout = reading.loss.readout
        if readout is None:
            return
        do = np.where(reading.counts, reading.abreast(reading.slope), 0)
        summands = {"V": Summand("o", "outer", do, reading.abreast(reading.y))}
        if readout.b is not None:
            summands["b"] = Summand("o", "bias", do, None)
        for name, summand in summands.items():
            new = _product(*_factors(summand), self.each_sequence)
            if name in self.readout:
                old = self.readout[name]
                new[: len(old)] += old
            self.readout[name] = new

    def _total(self, gates: list[Summand], block: Block) -> Scaled:
        """Σ of one parameter's summands over the steps of a block, gate above gate."""
        exponent = block.swept.exponent
        alike = len({(gate.form, id(gate.right)) for gate in gates}) == 1
        if alike and gates[0].form != "diagonal":  # all read the same: one product
            left = np.concatenate([gate.left for gate in gates], axis=-2)
            gates = [gates[0]._replace(left=left)]
        return concatenated([self._sum(gate, exponent) for gate in gates])

    def _sum(self, summand: Summand, exponent: Array) -> Scaled:
        """Σ left rightᵀ over steps and, unless they stay apart, over sequences.

        The exponent is that of the largest summand: a sequence or a step whose own is larger, but
        whose summand is zero, has no say.
        """
        left, right = _factors(summand)
        apart = self.each_sequence
        together = apart or bool((exponent == exponent[..., :1]).all())
        if together and _safe(left, right, (0, -2) if apart else (0, -2, -1)):
            e = exponent if apart else exponent[..., :1]
        else:
            a, b = factors(summand, exponent)
            level = Scaled(a.parts, a.exponent + b.exponent).level(0 if apart else (0, -1))
            left, right, e = level.values, b.values, level.exponent[0]
        e = e.swapaxes(-1, -2)[..., None] if apart else e
        return Scaled((_product(left, right, apart),), e)


def summands_of(block: Block) -> dict[str, list[Summand]]:
    """The summands of each parameter's gates, all steps of a block at once.

    Factors are ``(steps, [lengths or 1,] nets, features, columns)``.
    """
    swept, tape = block.swept, block.tape
    da = np.array(swept.da)

    def stacked(arrays: Sequence[Array] | Array) -> Array:
        a = np.array(arrays)
        return a[:, None] if da.ndim == 5 else a

    def each(rows: Sequence[tuple[Array, ...]]) -> tuple[Array, ...]:
        return tuple(stacked(part) for part in zip(*rows, strict=True))

    start, stop = swept.start, swept.stop
    states = tape.states[start : stop + 1]
    caches, x = each(tape.caches[start:stop]), stacked(tape.x[start:stop])
    return block.cell.summands(block.p, caches, da, each(states[:-1]), each(states[1:]), x)


def factors(summand: Summand, exponent: Array) -> tuple[Scaled, Scaled]:
    """Left and right factors of consecutive steps, written as an outer product.

    Parameters
    ----------
    summand : Summand
        One gate's of one parameter, of all steps of a block.
    exponent : array of int
        That of the steps' cotangents, ``([lengths,] nets, 1, columns)``.

    Returns
    -------
    left, right : Scaled
        ``(steps, [lengths,] nets, features, columns)``, each column about 1.
    """
    left, right = _factors(summand)
    steps = np.broadcast_to(exponent, (*left.shape[:-2], 1, left.shape[-1]))
    return Scaled((left,), steps).unit(), Scaled.of(right).unit()


def _factors(summand: Summand) -> tuple[Array, Array]:
    _, form, left, right = summand
    if form == "outer" and right is not None:
        return left, right
    whole = left if right is None else left * right
    return whole, np.ones_like(whole[..., :1, :])


def _safe(left: Array, right: Array, shared: tuple[int, ...]) -> bool:
    """Whether no product of two factors can leave the range, and those that matter stay in it."""
    a, b = (np.abs(one).max(axis=shared) for one in (left, right))
    largest = a * b
    within = (largest > 1 / _SAFE) & (largest < _SAFE)
    return bool((within | (a == 0) | (b == 0)).all())


def _product(left: Array, right: Array, apart: bool) -> Array:
    """Σ left rightᵀ over steps, and over sequences unless they are kept apart."""
    if apart:  # (steps, …, features, columns) → (…, columns, features, steps)
        a, b = (np.moveaxis(one, (-1, 0), (-3, -1)) for one in (left, right))
    else:  # (steps, …, features, columns) → (…, features, steps · columns)
        a, b = (np.moveaxis(o, 0, -2).reshape(*o.shape[1:-1], -1) for o in (left, right))
    product: Array = a @ b.swapaxes(-1, -2)
    return product
