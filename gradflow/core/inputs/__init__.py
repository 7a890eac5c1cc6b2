"""The inputs that are generated: one file for each task, found by its kind.

>>> task = get("copy")
>>> task.shortest(memory=3), task.target_kind, task.options
(7, 'classes', {'symbols': 8, 'memory': 10})
"""

from __future__ import annotations

from gradflow.core.inputs import adding, copy, distractors, noise, reber, temporal_order
from gradflow.core.inputs.batch import Batch, TargetKind
from gradflow.core.inputs.stream import series_stream, symbol_stream
from gradflow.core.inputs.task import Task

__all__ = ["Batch", "TargetKind", "Task", "get", "names", "series_stream", "symbol_stream"]

TASKS: dict[str, Task] = {
    module.TASK.kind: module.TASK
    for module in (noise, adding, copy, temporal_order, reber, distractors)
}


def names() -> tuple[str, ...]:
    """Every kind of input that is generated."""
    return tuple(TASKS)


def get(kind: str) -> Task:
    """Look a task up by its kind.

    Raises
    ------
    KeyError
        If there is none of that name.
    """
    return TASKS[kind]
