"""The inputs that are generated: one class for each task, found by its kind.

>>> copy = TASKS.get("copy")(memory=3)
>>> copy.shortest, copy.features, copy.target_kind
(7, 10, 'classes')
"""

from __future__ import annotations

from gradflow.core.inputs.adding import Adding, Multiplication
from gradflow.core.inputs.lags import NoiseFreeLag, NoisyLag, TwoSequence
from gradflow.core.inputs.noise import Distractors, Noise, series_stream, symbol_stream
from gradflow.core.inputs.reber import Reber
from gradflow.core.inputs.symbols import Copy, TemporalOrder
from gradflow.core.inputs.task import Batch, Criterion, TargetKind, Task
from gradflow.core.registry import Registry

__all__ = ["TASKS", "Batch", "Criterion", "TargetKind", "Task", "series_stream", "symbol_stream"]

TASKS: Registry[Task] = Registry("gradflow.tasks", "kind")
"""Every task by its kind."""

for _task in (
    Noise,
    Adding,
    Multiplication,
    Copy,
    TemporalOrder,
    Reber,
    NoiseFreeLag,
    NoisyLag,
    TwoSequence,
    Distractors,
):
    TASKS.add(_task)
