"""What was heard of PyTorch's recurrent modules while a model ran and its error came back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch.nn.utils.rnn import PackedSequence

from gradflow.core.network.stack import Network, States, Weights
from gradflow.core.typing import Array, DType
from gradflow.integrations.torch.modules import SEQUENCES, Module, TorchTensor, padded, states_of
from gradflow.integrations.torch.replay import Call

__all__ = ["Gradient", "Heard", "Span"]


@dataclass
class Gradient:
    """∂L/∂ of a tensor, by whatever reads it; the sum, if error comes back more than once."""

    of: TorchTensor = None

    def listen(self, tensor: TorchTensor) -> None:
        """Hear what comes back to a tensor."""
        if tensor.requires_grad:
            tensor.register_hook(self._add)

    def _add(self, gradient: TorchTensor) -> None:
        if gradient is not None:  # PyTorch's sign for zeros
            own = gradient.detach()
            self.of = own.clone() if self.of is None else self.of + own

    @property
    def some(self) -> bool:
        """Whether anything but zeros came back."""
        return self.of is not None and bool(self.of.any())

    @property
    def finite(self) -> bool:
        """Whether all of it is finite: a sum is not where a summand is not."""
        return self.of is None or bool(self.of.sum().isfinite())


@dataclass
class Span:
    """One call of a module: all steps of a sequence or, of a Cell module, one.

    Parameters
    ----------
    x, lengths
        See `replay.Call`.
    packing : PackedSequence or None
        How the output is packed.
    dy : Gradient
        At the output.
    ends : tuple of Gradient
        At h_n and c_n, by the model's own ways; of a Cell module at c alone, its h is the output.
    given : tuple of tensor
        The copies of the state that the model got.
    originals : tuple of tensor
        What they are copies of.
    """

    x: Array
    lengths: Array
    packing: PackedSequence | None
    dy: Gradient
    ends: tuple[Gradient, ...]
    given: tuple[TorchTensor, ...]
    originals: tuple[TorchTensor, ...]

    def __post_init__(self) -> None:
        self._versions = [tensor._version for tensor in self.given]

    def gave(self, state: tuple[TorchTensor, ...]) -> bool:
        """Whether a state is the very one that the model got, and as it was."""
        same = len(state) == len(self.given) and all(map(_is, state, self.given))
        return same and self._versions == [tensor._version for tensor in state]


@dataclass
class Heard:
    """A call of a module, or a chain of calls, each from the very state that the one before gave.

    Parameters
    ----------
    name, module
        What the model calls it, and itself.
    net, weights, dtype
        In this program's terms.
    initial : States or None
        The state that the first call starts from.
    inherits : bool
        Whether that comes from an earlier call.
    masked : bool
        Whether it draws masks between its layers.
    spans : list of Span
        The calls.
    """

    name: str
    module: Module
    net: Network
    weights: Weights
    dtype: DType
    initial: States | None
    inherits: bool
    masked: bool
    spans: list[Span] = field(default_factory=list)

    @property
    def note(self) -> str:
        """Why it cannot be replayed, once error has come back; empty if it can."""
        if self.masked:
            return (
                f"{self.name}: dropout between its layers drew masks that no one can see, so it "
                "cannot be replayed; while watching, set its dropout to 0 or call eval() on it, or "
                "build it of one-layer modules with nn.Dropout between them"
            )
        if self._is_cell and self.inherits and len(self.spans) == 1:
            return (
                f"{self.name}: its state is changed after each step (a mask, a norm, dropout), so "
                "there is no chain of steps to replay; hand it on as it is while watching"
            )
        if any(end.some for span in self.spans[:-1] for end in span.ends):
            return (
                f"{self.name}: the loss looks at the state that it hands on between two calls, "
                "which cannot be replayed; let it look at the output, or at the last state alone"
            )
        if not all(each.finite for span in self.spans for each in (span.dy, *span.ends)):
            return f"{self.name}: the error that came back to it is not finite"
        return ""

    def call(self) -> Call:
        """Return it as arrays, once error has come back."""
        columns = self.spans[0].x.shape[-1]
        x, lengths = self.spans[0].x, self.spans[0].lengths
        if len(self.spans) > 1:
            x = np.concatenate([span.x for span in self.spans])
            lengths = np.full(columns, len(x))
        ends = tuple(end.of for end in self.spans[-1].ends)
        beyond = states_of(self.net, ends, columns, self.dtype)
        return Call(self.net, self.weights, x, lengths, self.initial, self._dy(), beyond)

    def _dy(self) -> Array | None:
        """∂L/∂y at every step."""
        if all(span.dy.of is None for span in self.spans):
            return None
        each = []
        for span in self.spans:
            found = span.dy.of
            if found is None:
                shape = (len(span.x), 1, self.net.outputs, span.x.shape[-1])
                each.append(np.zeros(shape, self.dtype))
                continue
            given = found if span.packing is None else span.packing._replace(data=found)
            each.append(padded(self.module, given, self.dtype)[0])
        return each[0] if len(each) == 1 else np.concatenate(each)

    @property
    def _is_cell(self) -> bool:
        return not isinstance(self.module, SEQUENCES)


def _is(one: TorchTensor, other: TorchTensor) -> bool:
    return one is other
