"""What is known of a kind of input before any is drawn."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradflow.core.inputs.batch import Batch, TargetKind

__all__ = ["Task"]


@dataclass(frozen=True)
class Task:
    """A generator of inputs and what it declares.

    Parameters
    ----------
    kind : str
        Its name in an experiment file.
    generate : callable
        ``(steps, sequences, seed, *, options…) -> Batch``.
    target_kind : {"none", "values", "classes"}
        The targets it gives.
    prefix : bool
        Whether it is a stream: its first k steps are what a draw of length k gives.
    shortest : callable
        ``(*, options…) -> int``: the fewest steps the task makes sense with.
    """

    kind: str
    generate: Callable[..., Batch]
    target_kind: TargetKind = "none"
    prefix: bool = False
    shortest: Callable[..., int] = lambda **options: 1

    @property
    def options(self) -> dict[str, Any]:
        """The generator's own options with their defaults."""
        parameters = inspect.signature(self.generate).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def features(self, **options: Any) -> int:
        """Count the features of its inputs."""
        return int(self.generate(self.shortest(**options), 1, 0, **options).x.shape[2])
