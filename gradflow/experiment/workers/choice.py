"""Which executor: this process, others on this machine, or a cluster."""

from __future__ import annotations

import os
from typing import Protocol

from gradflow.errors import UserError
from gradflow.experiment.workers.executor import Executor, Measure, Serial, T
from gradflow.experiment.workers.pool import Pool

__all__ = ["Workers", "workers"]


class Workers(Protocol):
    """Makes an executor for a way to measure."""

    def __call__(self, measure: Measure[T], /) -> Executor[T]:
        """Return the executor."""


def workers(jobs: int = 1, dask: str | None = None) -> Workers:
    """Choose an executor.

    Parameters
    ----------
    jobs : int
        Processes on this machine; 0 is one for each processor that we may use.
    dask : str, optional
        Address of a Dask scheduler, which then does the work instead.

    Raises
    ------
    UserError
        If both are asked for, or Dask is not installed.
    """
    if dask is not None:
        if jobs != 1:
            raise UserError("--jobs and --dask exclude each other\n  fix: Dask has its own workers")
        from gradflow.experiment.workers.dask import DaskExecutor

        return lambda measure: DaskExecutor(dask, measure)
    count = jobs or processors()
    return Serial if count == 1 else lambda measure: Pool(count, measure)


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
