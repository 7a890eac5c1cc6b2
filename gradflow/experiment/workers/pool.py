"""Who works: this process, others on this machine side by side, or a cluster."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Protocol

from gradflow.errors import UserError
from gradflow.experiment.measure.plan import Bundle
from gradflow.experiment.workers.executor import (
    DEFAULT,
    Executor,
    Measure,
    OnDone,
    Outcome,
    Serial,
    T,
    attempt,
    lost,
)

__all__ = ["Pool", "Workers", "workers"]

ATTEMPTS = 2
"""How often a bundle is given to a worker that dies over it."""

UNSTARTED = 1
"""The exit code of a worker that could not even start."""

STARTLESS = """the processes that were to work could not start: each reads this script anew
  expected: a script in a file, which does nothing when it is read
  fix: put what runs below `if __name__ == "__main__":`, or take one job"""

PATIENCE = 10.0
"""Seconds that a worker has to end by itself."""


@dataclass(frozen=True)
class Pool(Generic[T]):
    """As many processes as `jobs`; each takes the next bundle as soon as it is free.

    Every worker has its own pipe, so it is known which bundle a killed one was at: that bundle
    alone is tried again, in a new process. Workers are spawned, not forked, because a fork copies
    the locks of whatever threads the caller has.
    """

    jobs: int
    measure: Measure[T] = field(default=DEFAULT)

    def run(self, bundles: Sequence[Bundle], on_done: OnDone[T]) -> None:
        """Measure the bundles, in order of start."""
        queue = deque((bundle, 1) for bundle in bundles)
        idle: list[_Worker] = []
        busy: dict[Connection, tuple[_Worker, Bundle, int]] = {}
        done: list[Outcome[T]] = []
        try:
            while queue or busy or done:
                while queue and len(busy) < self.jobs:
                    bundle, turn = queue.popleft()
                    worker = idle.pop() if idle else _Worker.start(self.measure)
                    busy[worker.pipe] = worker, bundle, turn
                    worker.give(bundle)
                while done:  # kept while the workers are at their next bundles
                    on_done(done.pop(0))
                ready = wait(busy) if busy else ()
                for pipe in [pipe for pipe in busy if pipe in ready]:
                    worker, bundle, turn = busy.pop(pipe)
                    outcome = worker.take()
                    if outcome is not None:
                        idle.append(worker)
                        done.append(outcome)
                    elif worker.process.exitcode == UNSTARTED:
                        raise UserError(STARTLESS)
                    elif turn < ATTEMPTS:
                        queue.appendleft((bundle, turn + 1))
                    else:
                        done.append(lost(bundle, worker.obituary()))
        finally:
            busy_workers = [worker for worker, _, _ in busy.values()]
            for worker in busy_workers:
                worker.process.terminate()
            for worker in (*idle, *busy_workers):
                worker.pipe.close()  # all of them first, so that they end side by side
            for worker in (*idle, *busy_workers):
                worker.stop()


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    pipe: Connection

    @classmethod
    def start(cls, measure: Measure[Any]) -> _Worker:
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_serve, args=(theirs, measure), daemon=True)
        process.start()
        theirs.close()  # held by the worker alone, so that its death ends the pipe
        return cls(process, ours)

    def give(self, bundle: Bundle) -> None:
        with contextlib.suppress(OSError):  # a worker that died idle: `take` will say so
            self.pipe.send(bundle)

    def take(self) -> Outcome[Any] | None:
        """Return the outcome, or None if the process died over it."""
        try:
            outcome: Outcome[Any] = self.pipe.recv()
        except (EOFError, OSError):
            self.stop()
            return None
        return outcome

    def obituary(self) -> str:
        code = self.process.exitcode or 0
        if code < 0:
            return f"its worker was killed by {signal.Signals(-code).name} (out of memory?)"
        return f"its worker ended with code {code}"

    def stop(self) -> None:
        """Wait for the process: without a pipe it ends as soon as it is not measuring."""
        self.pipe.close()
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(pipe: Connection, measure: Measure[Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, who then stops us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):  # the parent is done, or gone
        while True:
            pipe.send(attempt(pipe.recv(), measure))


def _end_with_parent() -> None:
    """End this process when its parent was killed, whatever it is measuring."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


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
            raise UserError(
                "--jobs and --dask exclude each other\n"
                "  fix: leave --jobs out: Dask has its own workers"
            )
        from gradflow.experiment.workers.dask import DaskExecutor

        return lambda measure: DaskExecutor(dask, measure)
    count = jobs or processors()
    return Serial if count == 1 else lambda measure: Pool(count, measure)


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
