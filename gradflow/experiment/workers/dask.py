"""Bundles on a Dask cluster."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic

from gradflow.errors import UserError
from gradflow.experiment.measure.plan import Bundle
from gradflow.experiment.workers.executor import DEFAULT, Measure, OnDone, T, attempt, lost

__all__ = ["DaskExecutor"]

CONNECT = 3
"""Seconds that the scheduler has to answer."""

ADDRESS = re.compile(r"((tcp|tls|ws|wss|ucx)://)?([^\s/:\[\]]+|\[[0-9a-fA-F:.]+\]):\d{1,5}")
"""Where a scheduler can be; of any other address Dask's client is only rid after a minute."""

EXPECTED = "an address such as tcp://host:8786"


@dataclass(frozen=True)
class DaskExecutor(Generic[T]):
    """Sends bundles to the scheduler at `address` and gathers what comes back.

    Dask hands the bundle of a worker that dies to another one; a bundle that has taken several
    workers with it (``distributed.scheduler.allowed-failures``) is reported as failed. Workers need
    gradflow installed; results come back through the scheduler, so workers share no file system.

    Raises
    ------
    UserError
        If Dask is not installed, there can be no scheduler at the address, or none answers.
    """

    address: str
    measure: Measure[T] = field(default=DEFAULT)

    def __post_init__(self) -> None:
        """Refuse what is no address before anything is planned or written."""
        if not ADDRESS.fullmatch(self.address):
            raise UserError(
                f"{self.address!r} is no address of a Dask scheduler\n"
                f"  expected: {EXPECTED}\n"
                "  fix: name host and port, as `dask scheduler` printed them when it started"
            )

    def run(self, bundles: Sequence[Bundle], on_done: OnDone[T]) -> None:
        """Measure the bundles; the first have priority."""
        try:
            from distributed import Client, as_completed
        except ImportError as error:
            raise UserError(
                "--dask needs Dask\n"
                "  fix: pip install 'gradflow-rnn[dask]', here and on the workers"
            ) from error
        try:
            with ThreadPoolExecutor(1) as aside:  # a notebook has a loop running in this thread
                aside.submit(asyncio.run, _greeted(self.address)).result()
            client: Any = Client(self.address, timeout=CONNECT, set_as_default=False)  # type: ignore[no-untyped-call]  # so in its package
        except (OSError, ValueError, TypeError, MemoryError) as error:
            # TypeError: tls:// without certificates; MemoryError: words of another protocol, HTTP
            # for one, are taken for the size of a message
            raise UserError(
                f"no Dask scheduler answers at {self.address!r}: {str(error) or 'silence'}\n"
                f"  expected: {EXPECTED}\n"
                "  fix: start one there with `dask scheduler`, or correct the address"
            ) from error
        with client:
            futures = {
                client.submit(attempt, bundle, self.measure, pure=False, priority=-order): bundle
                for order, bundle in enumerate(bundles)
            }
            done: Any = as_completed(futures, loop=client.loop)  # type: ignore[no-untyped-call]  # so in its package
            try:
                for future in done:
                    bundle = futures.pop(future)
                    problem = future.exception()
                    on_done(
                        future.result()
                        if problem is None
                        else lost(bundle, f"{type(problem).__name__}: {problem}")
                    )
                    future.release()
            finally:
                client.cancel(list(futures))


async def _greeted(address: str) -> None:
    """Shake hands with the scheduler: a client waits for ever for one that takes the call alone."""
    from distributed import Security
    from distributed.comm.core import connect

    options = Security().get_connection_args("client")  # type: ignore[no-untyped-call]  # so in its package
    greeting = connect(address, timeout=CONNECT, **options)  # type: ignore[no-untyped-call]
    comm = await asyncio.wait_for(greeting, CONNECT)
    await comm.close()
