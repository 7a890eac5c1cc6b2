from __future__ import annotations

import functools
import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import threadpoolctl

from gradflow.core.cells import CELLS
from gradflow.errors import UserError
from gradflow.experiment.measure import duration as cost
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import Bundle
from gradflow.experiment.store.whole import encode
from gradflow.experiment.workers import pool
from gradflow.experiment.workers.executor import Executor, Outcome, Serial
from gradflow.experiment.workers.pool import Pool, processors, workers
from tests.experiment import measures
from tests.experiment.measures import bundles, label


def collect(executor: Executor, todo: tuple[Bundle, ...] | None = None) -> list[Outcome]:
    outcomes: list[Outcome] = []
    executor.run(bundles() if todo is None else todo, outcomes.append)
    return outcomes


def digest(outcomes: list[Outcome]) -> dict[str, bytes]:
    return {label(p): encode(r, {}) for outcome in outcomes for p, r in outcome.results}


def failures(outcomes: list[Outcome]) -> dict[str, str]:
    return {label(f.point): f.reason for outcome in outcomes for f in outcome.failures}


def test_processes_give_the_bits_that_one_process_gives() -> None:
    alone, two = digest(collect(Serial(measure))), digest(collect(Pool(2, measure)))
    assert len(alone) == 12
    assert two == alone


def test_a_pool_uses_its_processes() -> None:
    outcomes = collect(Pool(2, measures.process))
    pids = {int(r["pid"].values) for outcome in outcomes for _, r in outcome.results}
    assert len(pids) == 2
    assert os.getpid() not in pids


@pytest.mark.parametrize("executor", [Serial(measures.bad_seed), Pool(2, measures.bad_seed)])
def test_a_point_that_fails_takes_no_other_along(executor: Executor) -> None:
    outcomes = collect(executor)
    assert failures(outcomes) == {"rnn 5 1": "rnn: NaN at step 3"}
    assert len(digest(outcomes)) == 11
    (failure,) = (f for outcome in outcomes for f in outcome.failures)
    assert failure.numerical
    assert failure.exit_code == 3
    assert "NumericalError" in failure.traceback


def test_an_unknown_error_is_named_by_its_type() -> None:
    found = failures(collect(Serial(measures.broken)))
    assert set(found.values()) == {"ZeroDivisionError: not ours"}
    assert len(found) == 12


def test_linear_algebra_has_one_thread() -> None:
    def threads(bundle: Bundle) -> list[object]:
        seen.update(library["num_threads"] for library in threadpoolctl.threadpool_info())
        raise ValueError

    seen: set[int] = set()
    collect(Serial(threads))  # type: ignore[arg-type]  # it never returns
    assert seen == {1}


def test_the_bundle_of_a_killed_worker_is_tried_again(tmp_path: Path) -> None:
    dies_once = functools.partial(measures.dies, marker=tmp_path / "died", how="once")
    assert digest(collect(Pool(2, dies_once))) == digest(collect(Serial(measure)))


@pytest.mark.parametrize(
    ("how", "reason"), [("kill", "killed by SIGKILL"), ("exit", "ended with code 5")]
)
def test_a_bundle_that_kills_its_workers_fails(tmp_path: Path, how: str, reason: str) -> None:
    deadly = functools.partial(measures.dies, marker=tmp_path / "never", how=how)
    outcomes = collect(Pool(1, deadly))
    found = failures(outcomes)
    assert set(found) == {f"lstm {length} {seed}" for length in (3, 5) for seed in range(3)}
    assert all(re.search(reason, text) for text in found.values())
    assert len(digest(outcomes)) == 6


def test_workers_that_cannot_start_are_the_scripts_fault(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import gradflow\n"
        "sections = {'model': {'cell': 'rnn'}, 'inputs': {'kind': 'noise'}, 'length': 3}\n"
        "gradflow.run(gradflow.configure(**sections, sweep={'seed': 2}), jobs=2)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.rpartition("gradflow.errors.")[2]
    assert last.startswith("UserError: the processes that were to work could not start")
    assert 'fix: put what runs below `if __name__ == "__main__":`' in last


def test_a_cell_that_a_worker_does_not_know_is_named() -> None:
    with pytest.raises(UserError, match=r"the kind 'mine' is not known .*\n  fix: register it"):
        CELLS.get("mine")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_no_process_is_left_when_the_caller_stops(error: type[BaseException]) -> None:
    def stop(_: Outcome) -> None:
        raise error

    with pytest.raises(error):
        Pool(2, measures.process).run(bundles(), stop)
    assert not multiprocessing.active_children()


def test_a_worker_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PATIENCE", 0.0)
    assert len(digest(collect(Pool(1, measure)))) == 12
    assert not multiprocessing.active_children()


def test_nothing_to_do_starts_nothing() -> None:
    assert collect(Pool(2, measures.process), ()) == []


def test_workers_are_chosen_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(workers(1)(measure), Serial)
    assert workers(3)(measure) == Pool(3, measure)
    assert isinstance(workers(0)(measure), Serial if processors() == 1 else Pool)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert processors() >= 1
    with pytest.raises(UserError, match="exclude each other"):
        workers(2, dask="tcp://nowhere:1")


def test_a_large_bundle_is_cut_along_its_seeds() -> None:
    overrides = ("model.hidden=256", "inputs.sequences=64", "sweep.length=[2000]", "sweep.seed=9")
    whole = bundles(*overrides)
    cut = cost.pieces(whole)
    assert len(cut) > len(whole)
    assert {p.hash for piece in cut for p in piece.points} == {
        p.hash for piece in whole for p in piece.points
    }
    assert sum(map(cost.predicted, cut)) < 1.5 * sum(map(cost.predicted, whole))


def test_what_is_mostly_overhead_stays_whole() -> None:
    whole = bundles("sweep.length=[100000]", "sweep.seed=2")
    assert cost.pieces(whole) == whole


def test_shards_share_the_work_without_a_gap() -> None:
    whole = bundles("sweep.length=[50, 60, 70, 100]", "inputs.kind=adding")
    shards = [cost.share(whole, number, 3) for number in (1, 2, 3)]
    assert sorted(str(b) for shard in shards for b in shard) == sorted(map(str, whole))
    loads = [sum(map(cost.predicted, shard)) for shard in shards]
    assert max(loads) < 2 * min(loads)


def test_more_seeds_and_longer_sequences_cost_more() -> None:
    def predicted(*overrides: str) -> float:
        return sum(map(cost.predicted, bundles(*overrides)))

    usual = predicted()
    assert predicted("sweep.seed=30") > usual
    assert predicted("sweep.length=[3, 50]") > usual
    assert predicted("model.layers=2") > 1.9 * usual
