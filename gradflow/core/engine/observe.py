"""What goes by on the way back, and who may look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gradflow.core.cells import Cell
from gradflow.core.engine.scan import Keep, Swept, Tape
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Params

__all__ = ["Block", "Observer"]


@dataclass(frozen=True)
class Block:
    """What an observer sees: consecutive steps of one layer and direction, swept back.

    Parameters
    ----------
    layer, direction : int
        Where.
    cell, p
        The cell and its parameters there.
    first : int
        The direction's own time of the state before the block's first step, 0..T − 1.
    tape : Tape
        The forward pass's records; ``swept.start`` is the offset of the block's steps in it.
    swept : Swept
        The cotangents. With several lengths, arrays have an axis of lengths in front, longest
        first, as many as have joined.
    """

    layer: int
    direction: int
    cell: Cell
    p: Params
    first: int
    tape: Tape
    swept: Swept


class Observer(Protocol):
    """Looks at cotangents as they go by."""

    needs: Keep
    """What the tapes must hold beside the local derivatives."""

    needs_inputs: bool
    """Whether ∂L/∂x is to be computed for the network's inputs."""

    def block(self, block: Block) -> None:
        """See a block of a layer."""

    def inputs(self, first: int, dx: Scaled) -> None:
        """See ∂L/∂x_k for the steps first + 1, … in original time."""
