"""The two ways back: through the carrousel, and through gates and hidden state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradflow.core.cells import Carrousel, State
from gradflow.core.cells.base import carrousel_of
from gradflow.core.engine.observe import Block
from gradflow.core.engine.scan import pass_on
from gradflow.core.engine.tape import Keep
from gradflow.core.quantity import Result
from gradflow.core.record.series import Series, Timeline
from gradflow.core.scaled import Scaled, cosine, stacked
from gradflow.core.typing import Array, Params

__all__ = ["Parts", "Paths"]


@dataclass(frozen=True)
class Parts:
    """∂L/∂c_k and the two summands it is made of, for the steps first, first + 1, ….

    Arrays are ``(steps, [lengths,] nets, hidden, columns)``.
    """

    first: int
    whole: Scaled
    carrousel: Scaled
    gates: Scaled


class Paths:
    """∂L/∂c_k split into what the carrousel brings back and what comes through gates.

    Let δ_k = ∂L/∂c_k be the total derivative of the last part of the state (c of an LSTM, h of a
    GRU or CEC), f_k = ∂c_k/∂c_{k−1} and e_k = ∂h_k/∂c_k with the gates held fixed (for an LSTM the
    forget gate and o ⊙ tanh′(c); for a GRU 1 − z and 1; for a CEC 1 and 1), and ι_k what joins
    ∂L/∂h_k at step k from outside of the layer: from the loss or the layer above. A loss that looks
    at c_T itself joins C_T. Then

    ::

        C_k = e_k ⊙ ι_k + f_{k+1} ⊙ C_{k+1}                the carrousel: in at ι, back by f alone
        G_k = g_k       + f_{k+1} ⊙ G_{k+1}                gates and hidden state
        g_k = P_oᵀ da_o,k + e_k ⊙ Wᵀ da_{k+1} + P_fᵀ da_f,k+1 + P_iᵀ da_i,k+1
        δ_k = C_k + G_k

    so that C_k = Σ_{t≥k} Π_{k<m≤t} f_m ⊙ e_t ⊙ ι_t, and g_k is all that reaches c_k out of a
    pre-activation a: G sorts the other paths by the last gate they come through. Hochreiter and
    Schmidhuber's truncated gradient is C alone (see `CarrouselOnly`).

    Neither part is had by subtraction. da is that of the whole, exact, flow, and what it sends to
    c_k is computed from it (`Cell.through_gates`), so a part that is hundreds of decades smaller
    than the other is as precise as the whole; each has exponents of its own. Only the *sum* can
    cancel: where C ≈ −G (cosine −1) by d decades, C + G equals δ to 16 − d digits; δ itself comes
    from the engine, not from the sum.

    Recorded: ``path_carrousel``, ``path_gates``, log10 of ‖C_k‖ and ‖G_k‖; ``path_share``,
    ‖C‖ / (‖C‖ + ‖G‖), 1 where all error comes by the carrousel; ``path_cosine``, C·G / ‖C‖‖G‖.
    A share of nothing and the cosine with nothing are NaN.

    Parameters
    ----------
    timeline : Timeline
        Whose, and at which steps.

    Raises
    ------
    ValueError
        If no cell has a carrousel.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997),
    section 4 and appendix A.1.
    """

    needs = Keep.COTANGENTS
    needs_inputs = False

    def __init__(self, timeline: Timeline) -> None:
        self.layers = list(timeline.net.where(carrousel_of))
        units = {"carrousel": "log10", "gates": "log10", "share": "1", "cosine": "1"}
        self.series = {
            name: Series(timeline, f"path_{name}", unit, layers=self.layers)
            for name, unit in units.items()
        }
        self.timeline = timeline
        self._after: dict[tuple[int, int], _Carried] = {}

    def block(self, block: Block) -> None:
        """Record the parts after the block's steps, and those of state 0."""
        if block.layer not in self.layers:
            return
        parts = self.split(block)
        C, G = parts.carrousel.norm(), parts.gates.norm()
        found = {
            "carrousel": C.log10,
            "gates": G.log10,
            "share": 1 / (1 + (G / C).plain),
            "cosine": cosine(parts.carrousel, parts.gates),
        }
        for name, values in found.items():
            self.series[name].put((block.layer, block.direction), parts.first, values)

    def split(self, block: Block) -> Parts:
        """Split the block's steps, from state 0 on where the block starts there."""
        swept, cell, place = block.swept, block.cell, (block.layer, block.direction)
        e = swept.exponent
        local = block.tape.local[swept.start : swept.stop]
        ways = [carrousel_of(cell, each) for each in local]
        flows = [cell.through_gates(block.p, *each) for each in zip(local, swept.da, strict=True)]
        after = self._after.get(place, _Carried.nothing(swept.before)).grown(swept.before[0])
        flow = Scaled(flows[0][0], e)
        keep = [way.keep for way in ways]
        p, inject = block.p, swept.inject
        carrousel = self._from_the_end(block, after.carrousel)
        C, C_before = pass_on(keep, _entering(p, inject, ways), carrousel)
        G, G_before = pass_on(keep, _joining(p, ways, flows, e, after.flow), after.gates)
        self._after[place] = _Carried(C_before, G_before, flow)
        totals = swept.totals if len(cell.parts) > 1 else swept.dstates
        whole = Scaled((np.stack([total[-1] for total in totals]),), np.stack([e] * len(totals)))
        if block.first:
            return Parts(block.first + 1, whole, C, G)
        origin = (Scaled(swept.before[-1:], e), C_before, G_before + _last(flow))
        each = zip(origin, (whole, C, G), strict=True)
        return Parts(0, *(_preceded(*pair) for pair in each))

    def _from_the_end(self, block: Block, after: Scaled) -> Scaled:
        """f ⊙ C after a block, and what looks at the carrousel itself where sequences end there."""
        swept = block.swept
        if len(block.cell.parts) == 1 or not swept.dstates[-1][-1].any():
            return after
        ends, last = self.timeline.own_lengths, block.first + len(swept.dstates)
        if ends is None:
            lengths = np.array(sorted(self.timeline.lengths, reverse=True))[: len(swept.exponent)]
            ends = lengths.reshape(-1, 1, 1, 1) if swept.exponent.ndim > 3 else lengths
        looked_at = np.where(ends == last, swept.dstates[-1][-1], 0)
        return after + Scaled((looked_at,), swept.exponent) if looked_at.any() else after

    def inputs(self, first: int, dx: Scaled) -> None:
        """The parts are those of the state's derivative."""

    def quantities(self, net: int, length: int) -> Result:
        """Everything recorded of one of the nets at one of the lengths, by name."""
        each = [series.quantity(net, length) for series in self.series.values()]
        return {quantity.name: quantity for quantity in each}


@dataclass(frozen=True)
class _Carried:
    """What a block hands to the one before it: f ⊙ C, f ⊙ G, and the flow out of the gates."""

    carrousel: Scaled
    gates: Scaled
    flow: Scaled

    @classmethod
    def nothing(cls, like: tuple[Array, ...]) -> _Carried:
        zeros = tuple(np.zeros_like(part) for part in like)
        one = Scaled.of(zeros[-1])
        return cls(one, one, Scaled.of(*zeros))

    def grown(self, like: Array) -> _Carried:
        """With zeros for the lengths that have joined since."""
        new = len(like) - len(self.gates.exponent) if like.ndim == 4 else 0
        return _Carried(*(s.grown(new) for s in (self.carrousel, self.gates, self.flow)))


def _entering(p: Params, inject: Scaled | None, ways: list[Carrousel]) -> Scaled | None:
    """e ⊙ ι of each step."""
    if inject is None or ways[0].enter is None:
        return inject
    each = [way.entering(p, part) for way, part in zip(ways, inject.values, strict=True)]
    return Scaled((np.stack(each),), inject.exponent)


def _joining(
    p: Params,
    ways: list[Carrousel],
    flows: list[tuple[State, Array | None]],
    e: Array,
    last: Scaled,
) -> Scaled:
    """g of each step: what the step after it sends back, and what its own gates peek at."""
    each: list[Scaled] = []
    for way, flow, (_, peek) in zip(
        ways, [*(Scaled(state, e) for state, _ in flows[1:]), last], flows, strict=True
    ):
        join = _last(flow)
        if way.enter is not None:
            join = Scaled((way.entering(p, flow.parts[0]) + join.values,), flow.exponent)
        each.append(join if peek is None else join + Scaled((peek,), e))
    return stacked(each)


def _last(scaled: Scaled) -> Scaled:
    return Scaled(scaled.parts[-1:], scaled.exponent)


def _preceded(first: Scaled, rest: Scaled) -> Scaled:
    values = np.concatenate([first.values[None], rest.values])
    return Scaled((values,), np.concatenate([first.exponent[None], rest.exponent]))
