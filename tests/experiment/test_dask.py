from __future__ import annotations

import functools
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradflow.errors import UserError
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.run import run
from gradflow.experiment.workers.executor import Outcome, Serial
from gradflow.experiment.workers.pool import workers
from tests.experiment import measures
from tests.experiment.measures import an_experiment, bundles
from tests.experiment.test_execute import digest, failures

# What Dask and tornado warn of while processes die is theirs.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    import dask

    quiet = {"logging.distributed": "critical", "distributed.scheduler.allowed-failures": 1}
    with (
        dask.config.set(quiet),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as started,
    ):
        yield started


def on(cluster: Any, measure: Any) -> list[Outcome]:
    outcomes: list[Outcome] = []
    workers(dask=cluster.scheduler_address)(measure).run(bundles(), outcomes.append)
    return outcomes


def test_a_cluster_gives_the_bits_that_one_process_gives(cluster: Any, tmp_path: Path) -> None:
    executor = workers(dask=cluster.scheduler_address)(measure)
    assert run(an_experiment(), out=tmp_path, executor=executor).computed == 12
    alone: list[Outcome] = []
    Serial(measure).run(bundles(), alone.append)
    assert digest(on(cluster, measure)) == digest(alone)


def test_a_point_that_fails_takes_no_other_along(cluster: Any) -> None:
    outcomes = on(cluster, measures.bad_seed)
    assert failures(outcomes) == {"rnn 5 1": "rnn: NaN at step 3"}
    assert len(digest(outcomes)) == 11


def test_the_bundle_of_a_killed_worker_goes_to_another(cluster: Any, tmp_path: Path) -> None:
    outcomes = on(cluster, functools.partial(measures.dies, marker=tmp_path / "died", how="once"))
    assert failures(outcomes) == {}
    assert len(digest(outcomes)) == 12


def test_a_bundle_that_kills_its_workers_fails(cluster: Any, tmp_path: Path) -> None:
    outcomes = on(cluster, functools.partial(measures.dies, marker=tmp_path / "never"))
    assert {reason.partition(":")[0] for reason in failures(outcomes).values()} == {"KilledWorker"}
    assert len(digest(outcomes)) == 6


def test_stopping_cancels_the_rest(cluster: Any) -> None:
    def stop(_: Outcome) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workers(dask=cluster.scheduler_address)(measure).run(bundles(), stop)


def test_no_scheduler_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there, nobody has certificates, somebody is silent or speaks another language."""
    pytest.importorskip("distributed")
    monkeypatch.setattr("gradflow.experiment.workers.dask.CONNECT", 0.3)

    def speak(web: socket.socket) -> None:
        caller, _ = web.accept()
        with caller:
            caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            caller.recv(1 << 16)

    at = ("127.0.0.1", 0)
    with socket.create_server(at) as silent, socket.create_server(at) as web:
        threading.Thread(target=speak, args=[web], daemon=True).start()
        there = [f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in (silent, web)]
        for address in ("tcp://127.0.0.1:9", "tls://127.0.0.1:9", *there):
            with pytest.raises(UserError, match=r"scheduler answers.*\w\n(.|\n)*tcp://host:8786"):
                workers(dask=address)(measure).run(bundles(), lambda _: None)


@pytest.mark.parametrize("address", ["host", "tcp://host", "what://is:8786", "host:this", ":8786"])
def test_what_is_no_address_is_told_at_once(address: str) -> None:
    with pytest.raises(UserError, match=r"is no address of a Dask scheduler\n.*tcp://host:8786"):
        workers(dask=address)(measure)
    assert workers(dask="[::1]:8786")(measure) != workers(dask="tcp://a-b.org:1")(measure)


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"gradflow-rnn\[dask\]"):
        workers(dask="tcp://127.0.0.1:9")(measure).run(bundles(), lambda _: None)
