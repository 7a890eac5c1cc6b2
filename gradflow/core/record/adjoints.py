"""The adjoints themselves, of one pass or summed over several."""

from __future__ import annotations

from collections.abc import Mapping

from gradflow.core.engine.observe import Block
from gradflow.core.engine.tape import Keep
from gradflow.core.network.stack import Network
from gradflow.core.record.series import Series
from gradflow.core.scaled import Scaled, concatenated

__all__ = ["Adjoints"]


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
