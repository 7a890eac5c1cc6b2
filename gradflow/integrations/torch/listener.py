"""The hooks on PyTorch's recurrent modules, and what they put down.

A model gets a copy of each state; where it hands that very copy back, the module goes on from the
original, and the two calls are one chain. So what comes back to the copy is ∂L/∂ of it by the
model's own ways, without the way through the next call, and the numbers are those that they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch.nn.utils.rnn import PackedSequence

from gradflow.core.network.stack import Weights
from gradflow.core.typing import DType
from gradflow.integrations.torch.heard import Gradient, Heard, Span
from gradflow.integrations.torch.modules import (
    SEQUENCES,
    Module,
    TorchTensor,
    net_of,
    padded,
    states_of,
    weights_of,
)

__all__ = ["ModuleListener", "Room"]


@dataclass
class Room:
    """Bytes for what is heard, and whether they did not suffice."""

    bytes: int
    full: bool = False

    def take(self, needed: int) -> bool:
        """Take some of them, if so many are left."""
        self.bytes -= needed
        self.full |= self.bytes < 0
        return not self.full


class ModuleListener:
    """Listens to one module.

    Parameters
    ----------
    name : str
        What the module is called in its model.
    module : torch.nn.Module
        The module.
    dtype : dtype
        Of the copies.
    heard : list of Heard
        Where calls are put.
    room : Room
        For what is heard.
    """

    def __init__(
        self, name: str, module: Module, dtype: DType, heard: list[Heard], room: Room
    ) -> None:
        self.name, self.module, self.dtype, self.heard, self.room = name, module, dtype, heard, room
        self.net = net_of(module)
        self._open: dict[int, Heard] = {}  # by the state that each has given last
        self._known = False
        self._going_on: Heard | None = None
        self._weights: tuple[list[tuple[int, int]], Weights] | None = None

    def hooks(self) -> list[Any]:
        """Put hooks on the module; their handles remove them."""
        return [
            self.module.register_forward_pre_hook(self._before, with_kwargs=True),
            self.module.register_forward_hook(self._after, with_kwargs=True),
        ]

    def _before(self, module: Module, args: Any, kwargs: Any) -> Any:
        """Let a chain go on, or begin one."""
        x, hx = _arguments(args, kwargs)
        state = _parts(hx)
        found = self._open.get(id(state[0])) if state and not self._apart(x) else None
        self._going_on = found if found and found.spans[-1].gave(state) else None
        if self._going_on is None:
            return None
        del self._open[id(state[0])]
        again = self._going_on.spans[-1].originals
        return (x, again if isinstance(hx, tuple) else again[0]), {}

    def _apart(self, x: Any) -> bool:
        """Whether a call cannot go on with a chain: its end is not one step for all."""
        return isinstance(x, PackedSequence) or self.net.bidirectional

    def _after(self, module: Module, args: Any, kwargs: Any, result: Any) -> Any:
        """Hear a call, and give copies of the state."""
        x, hx = _arguments(args, kwargs)
        output, state = result if self._whole else (None, result)
        originals = _parts(state)
        packing = output if isinstance(output, PackedSequence) else None
        own = packing.data if packing else originals[0] if output is None else output
        if not any(tensor.requires_grad for tensor in (own, *originals)):
            return None
        seen, lengths = padded(self.module, x, self.dtype)
        if not self.room.take(seen.nbytes + own.numel() * own.element_size()):
            return None
        copies = tuple(tensor.clone() for tensor in originals)
        dy, ends = Gradient(), tuple(Gradient() for _ in copies)
        dy.listen(copies[0] if output is None else own)
        for end, copy in zip(ends, copies, strict=True):
            if output is not None or copy is not copies[0]:
                end.listen(copy)
        chain = self._going_on or self._begin(hx, seen.shape[-1])
        self._open[id(copies[0])] = chain
        chain.spans.append(Span(seen, lengths, packing, dy, ends, copies, originals))
        given = copies if isinstance(state, tuple) else copies[0]
        return given if output is None else (output, given)

    def _begin(self, hx: Any, columns: int) -> Heard:
        """Begin a chain from a state."""
        start = _parts(hx)
        chain = Heard(
            self.name,
            self.module,
            self.net,
            self._own_weights(),
            self.dtype,
            states_of(self.net, start, columns, self.dtype),
            inherits=bool(start) and start[0].requires_grad and self._known,
            masked=_dropout(self.module),
        )
        self._known = True
        self.heard.append(chain)
        return chain

    def _own_weights(self) -> Weights:
        """The parameters as they are now, copied once as long as they stay the same."""
        now = [(tensor.data_ptr(), tensor._version) for tensor in self.module.parameters()]
        if self._weights is None or self._weights[0] != now:
            self._weights = now, weights_of(self.module, self.net, self.dtype)
        return self._weights[1]

    @property
    def _whole(self) -> bool:
        """Whether a call takes all steps."""
        return isinstance(self.module, SEQUENCES)


def _dropout(module: Module) -> bool:
    """Whether masks are drawn between the layers."""
    several = getattr(module, "num_layers", 1) > 1
    return several and module.training and module.dropout > 0


def _parts(state: Any) -> tuple[TorchTensor, ...]:
    """The parts of a state as PyTorch hands it: none, one or a tuple."""
    if state is None:
        return ()
    return state if isinstance(state, tuple) else (state,)


def _arguments(args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The input and the initial state of a call."""
    given = dict(zip(("input", "hx"), args, strict=False)) | kwargs
    return given["input"], given.get("hx")
