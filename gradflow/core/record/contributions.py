"""What every step contributes to the weights' gradients, and whether the steps agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradflow.core.engine.observe import Block
from gradflow.core.engine.tape import Keep
from gradflow.core.quantity import Quantity, Result
from gradflow.core.record.gradients import factors, summands_of
from gradflow.core.record.series import Series, Timeline
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array

__all__ = ["Contributions", "RankOnes"]


class Contributions:
    """The summands of ∂L/∂U and ∂L/∂W, one for each step, and how much of them cancels.

    ::

        ∂L/∂U_γ = Σ_k G_k,   G_k = (∂L/∂a_γ,k) x_kᵀ          for each gate γ
        ∂L/∂W_γ = Σ_k G_k,   G_k = (∂L/∂a_γ,k) h_{k−1}ᵀ      (what the gate reads in its place)
        ‖G_k‖_F = ‖∂L/∂a_γ,k‖ ‖x_k‖                          rank one
        conflict_γ = ‖Σ_k G_k‖_F / Σ_k ‖G_k‖_F               1: all steps agree, 0: they cancel

    with ∂L/∂a_γ,k = Σ_t (∂L_t/∂s_t) Π_{k<m≤t} (∂s_m/∂s_{m−1}) (∂s_k/∂a_γ,k), the exact one through
    all paths. Everything is for each sequence apart: L is one scalar per sequence. A weight whose
    conflict is near 0 is asked by some steps for the opposite of what others ask: Hochreiter and
    Schmidhuber's input weight conflict (U) and output weight conflict (here W, which leads h to
    the other units; for the readout see `readout`).

    Recorded: ``contribution_U``, ``contribution_W``, log10 of ‖G_k‖_F at each recorded step, and
    ``conflict_U``, ``conflict_W`` over all steps, NaN where every summand is zero. Sums are kept at
    one exponent for each sequence, so neither an exploding nor a vanishing flow leaves the range.

    Parameters
    ----------
    timeline : Timeline
        Whose, and at which steps norms are recorded; sums go over all.
    names : sequence of str, optional
        The parameters; default: U, and W where the cell has it.

    Raises
    ------
    ValueError
        If the cell has no parameter of a given name.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997),
    section 3.2.
    """

    needs = Keep.STATES | Keep.CACHES | Keep.COTANGENTS
    needs_inputs = False

    def __init__(self, timeline: Timeline, names: Sequence[str] | None = None) -> None:
        net = timeline.net
        layouts = [net.parameters(layer) for layer in range(len(net.layers))]
        known = tuple(dict.fromkeys(name for layout in layouts for name in layout))
        self.names = [n for n in ("U", "W") if n in known] if names is None else list(names)
        for name in self.names:
            if name not in known:
                raise ValueError(f"{net.label} has no parameter {name}; it has {', '.join(known)}")
        self.series = {
            name: Series(
                timeline,
                f"contribution_{name}",
                layers=[k for k, layout in enumerate(layouts) if name in layout],
                gates=[layout[name].blocks for layout in layouts if name in layout],
                first=1,
            )
            for name in self.names
        }
        self.sums: dict[tuple[int, int, str, str], RankOnes] = {}

    def block(self, block: Block) -> None:
        """Add the block's steps."""
        found, place = summands_of(block), (block.layer, block.direction)
        for name in found.keys() & self.series.keys():
            series = self.series[name]
            for summand in found[name]:
                left, right = factors(summand, block.swept.exponent)
                where = (*place, series.gates.index(summand.gate))
                series.put(where, block.first + 1, (left.norm() * right.norm()).log10)
                key, new = (*place, name, summand.gate), RankOnes.sum(left, right)
                self.sums[key] = self.sums[key] + new if key in self.sums else new

    def inputs(self, first: int, dx: Scaled) -> None:
        """Parameters do not depend on ∂L/∂x."""

    def quantities(self, net: int, length: int) -> Result:
        """Everything recorded of one of the nets at one of the lengths, by name."""
        result: Result = {}
        for name, series in self.series.items():
            result[series.name] = quantity = series.quantity(net, length)
            axes = {k: v for k, v in quantity.coords.items() if k not in ("step", "lag")}
            values = np.full(quantity.values.shape[:-1], np.nan)
            for index in np.argwhere(series.exists):
                layer, direction, gate = index
                place = (series.layers[layer], direction, name, series.gates[gate])
                found = self.sums[place].conflict()
                own = found[series.lengths.index(length)] if len(series.lengths) > 1 else found
                values[tuple(index)] = own[net]
            dims = quantity.dims[:-1]
            result[f"conflict_{name}"] = Quantity(f"conflict_{name}", dims, values, axes, "1")
        return result


@dataclass(frozen=True)
class RankOnes:
    """Σ_k G_k and Σ_k ‖G_k‖_F of each sequence, G_k = left_k right_kᵀ.

    Parameters
    ----------
    matrix : Scaled
        Σ G, ``([lengths,] nets, columns, rows, cols)``.
    norms : Scaled
        Σ ‖G‖_F, ``([lengths,] nets, columns)``.
    """

    matrix: Scaled
    norms: Scaled

    @classmethod
    def sum(cls, left: Scaled, right: Scaled) -> RankOnes:
        """Sum over steps; factors are ``(steps, [lengths,] nets, features, columns)``."""
        a, b = left.level(0), right.level(0)
        # (steps, …, features, columns) → (…, columns, features, steps)
        matrix = np.moveaxis(a.values, (-1, 0), (-3, -1)) @ np.moveaxis(b.values, (-1, 0), (-3, -2))
        exponent = (a.exponent + b.exponent)[0].swapaxes(-1, -2)[..., None]
        return cls(Scaled((matrix,), exponent), (left.norm() * right.norm()).sum(0))

    def __add__(self, other: RankOnes) -> RankOnes:
        """The sum; `other` may hold more lengths, for which this one holds zero."""
        new = len(other.norms.exponent) - len(self.norms.exponent)
        return RankOnes(self.matrix.grown(new) + other.matrix, self.norms.grown(new) + other.norms)

    def conflict(self) -> Array:
        """‖Σ G‖_F / Σ ‖G‖_F, ``([lengths,] nets, columns)``; NaN where every G is zero."""
        m = self.matrix.values
        flat = Scaled((m.reshape(*m.shape[:-2], -1),), self.matrix.exponent[..., 0])
        return (flat.norm(-1) / self.norms).plain
