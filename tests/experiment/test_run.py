from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradflow.errors import UserError
from gradflow.experiment.config import load_config
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import Bundle
from gradflow.experiment.preview import preview
from gradflow.experiment.run import Progress, Shard, run
from gradflow.experiment.store import current
from gradflow.experiment.store.manifest import DamagedError
from gradflow.experiment.store.runs import latest, list_runs, open_run
from gradflow.experiment.workers.executor import Serial
from gradflow.experiment.workers.pool import Pool
from tests.experiment import measures
from tests.experiment.measures import an_experiment


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("small/points/*.npz")}


def test_a_run_is_kept_and_not_run_again(tmp_path: Path) -> None:
    first = run(an_experiment(), out=tmp_path)
    assert (first.computed, first.reused, first.failures) == (12, 0, ())
    before = files(tmp_path)
    again = run(an_experiment(), out=tmp_path, executor=Serial(measures.broken))
    assert (again.computed, again.reused, again.failures) == (0, 12, ())
    assert files(tmp_path) == before


def test_what_is_stored_runs_again_as_it_is(tmp_path: Path) -> None:
    run(an_experiment(), out=tmp_path / "a")
    run(load_config(tmp_path / "a" / "small" / "config.yaml"), out=tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_sweep_that_grows_measures_what_is_new(tmp_path: Path) -> None:
    run(an_experiment("sweep.seed=2", "sweep.length=[3]"), out=tmp_path)
    assert run(an_experiment("sweep.length=[3]"), out=tmp_path).computed == 2
    grown = run(an_experiment(), out=tmp_path)
    assert (grown.computed, grown.reused) == (6, 6)
    assert [p.axes["length"] for p in grown.run.points[:6]] == [3, 3, 3, 5, 5, 5]


def test_fresh_measures_again(tmp_path: Path) -> None:
    run(an_experiment(), out=tmp_path)
    assert run(an_experiment(), out=tmp_path, fresh=True).computed == 12


def test_what_other_code_has_measured_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(an_experiment(), out=tmp_path)
    monkeypatch.setattr(current, "_house", lambda: "other")
    again = run(an_experiment(), out=tmp_path)
    assert (again.computed, again.changed) == (12, ("the code of gradflow",))
    again = run(an_experiment(), out=tmp_path)
    assert (again.computed, again.changed) == (0, ())


def test_a_damaged_point_is_refused_and_then_measured_again(tmp_path: Path) -> None:
    stored = run(an_experiment(), out=tmp_path).run
    before = files(tmp_path)
    file = stored.path / "points" / f"{stored.points[3].hash}.npz"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(DamagedError, match=f"{file.name} is damaged"):
        stored.result(stored.points[3])
    assert run(an_experiment(), out=tmp_path).computed == 1
    assert files(tmp_path).keys() == before.keys()
    assert stored.path.joinpath("manifest.json").exists()
    latest(tmp_path).result(stored.points[3])


def test_workers_and_shards_do_not_change_a_bit(tmp_path: Path) -> None:
    run(an_experiment(), out=tmp_path / "one")
    run(an_experiment(), out=tmp_path / "two", executor=Pool(2, measure))
    done = [run(an_experiment(), out=tmp_path / "parts", shard=Shard(i, 2)) for i in (1, 2)]
    assert [one.computed for one in done] == [6, 6]
    assert [len(one.run.missing) for one in done] == [6, 0]
    assert files(tmp_path / "one") == files(tmp_path / "two") == files(tmp_path / "parts")


def test_failed_points_are_missing_and_tried_the_next_time(tmp_path: Path) -> None:
    done = run(an_experiment(), out=tmp_path, executor=Serial(measures.bad_seed))
    assert [measures.label(f.point) for f in done.failures] == ["rnn 5 1"]
    assert (done.computed, done.run.missing) == (11, (done.failures[0].point,))
    assert run(an_experiment(), out=tmp_path).computed == 1


def test_fail_fast_stops_and_keeps_what_is_done(tmp_path: Path) -> None:
    done = run(an_experiment(), out=tmp_path, executor=Serial(measures.bad_seed), fail_fast=True)
    assert len(done.failures) == 1
    assert done.computed == len(done.run.points) >= 5
    assert run(an_experiment(), out=tmp_path).computed == 12 - done.computed


def test_progress_counts_work_and_never_goes_back(tmp_path: Path) -> None:
    seen: list[Progress] = []
    run(an_experiment("sweep.length=[3, 300]"), out=tmp_path, on_progress=seen.append)
    assert seen[0] == Progress(0.0, 0, 12)
    assert seen[-1] == Progress(1.0, 12, 12)
    shares = [progress.share for progress in seen]
    assert shares == sorted(shares)
    seen.clear()
    run(an_experiment("sweep.length=[3, 300]"), out=tmp_path, on_progress=seen.append)
    assert seen == [Progress(1.0, 0, 0)]


def test_an_interrupt_keeps_what_is_done(tmp_path: Path) -> None:
    def interrupted(bundle: Bundle) -> Any:
        if bundle.points[0].config.model.cell_label == "rnn":
            raise KeyboardInterrupt
        return measure(bundle)

    with pytest.raises(KeyboardInterrupt):
        run(an_experiment(), out=tmp_path, executor=Serial(interrupted))
    assert len(open_run("small", tmp_path).points) == 6


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def begun(marker: Path) -> bool:
    return marker.exists() and bool(marker.read_text())


def alive(process: int) -> bool:
    state = subprocess.run(["ps", "-o", "state=", "-p", str(process)], stdout=subprocess.PIPE)
    return state.stdout.strip() not in (b"", b"Z")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path, jobs: int) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import functools, pathlib, sys\n"
        "from gradflow.experiment.workers.executor import Serial\n"
        "from gradflow.experiment.workers.pool import Pool\n"
        "from gradflow.experiment.run import run\n"
        "from tests.experiment.measures import an_experiment, slow\n"
        "if __name__ == '__main__':\n"
        "    marker = pathlib.Path(sys.argv[1])\n"
        "    measure = functools.partial(slow, marker=marker)\n"
        f"    executor = Pool(2, measure) if {jobs} == 2 else Serial(measure)\n"
        "    experiment = an_experiment('sweep.model.cell=[gru, rnn, lstm]')\n"
        "    run(experiment, out=marker.parent / 'killed', executor=executor)\n"
    )
    marker = tmp_path / "begun"
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, str(script), str(marker)], env={**os.environ, "PYTHONPATH": str(root)}
    )
    stored = 12 if jobs > 1 else 0
    wait_for(lambda: begun(marker) and len(files(tmp_path / "killed")) >= stored)
    process.send_signal(signal.SIGKILL)
    process.wait()
    worker = int(marker.read_text())
    wait_for(lambda: not alive(worker))
    experiment = an_experiment("sweep.model.cell=[gru, rnn, lstm]")
    resumed = run(experiment, out=tmp_path / "killed")
    assert resumed.computed + resumed.reused == 18
    whole = run(experiment, out=tmp_path / "whole")
    assert whole.computed == 18
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_a_preview_writes_nothing(tmp_path: Path) -> None:
    seen = preview(an_experiment(), out=tmp_path)
    assert (seen.points, seen.stored, len(seen.bundles)) == (12, 0, 2)
    assert all(planned.bytes > 0 and planned.seconds > 0 for planned in seen.bundles)
    assert list(tmp_path.iterdir()) == []
    run(an_experiment("sweep.seed=2"), out=tmp_path)
    assert preview(an_experiment(), out=tmp_path).stored == 8
    assert preview(an_experiment(), out=tmp_path, fresh=True).stored == 0


def test_a_preview_tells_what_does_not_fit() -> None:
    seen = preview(an_experiment("memory=1MiB", "model.hidden=400"))
    assert all("needs" in planned.problem for planned in seen.bundles)


@pytest.mark.parametrize("text", ["", "2", "0/2", "3/2", "a/b", "-1/2", "1/2/3", "1/0"])
def test_a_shard_that_does_not_exist(text: str) -> None:
    with pytest.raises(UserError, match="expected: i/n"):
        Shard.parse(text)


def test_a_shard_is_read() -> None:
    assert Shard.parse("2/8") == Shard(2, 8)


def test_the_baselines_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="another `name:`"):
        run(an_experiment(name="baselines"), out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_runs_are_found_by_name_by_folder_and_as_the_latest(tmp_path: Path) -> None:
    for name in ("first", "second"):
        run(an_experiment("sweep.length=[3]", name=name), out=tmp_path)
    os.utime(tmp_path / "first" / "manifest.json")
    assert open_run("first", tmp_path).name == "first"
    assert open_run(tmp_path / "second").name == "second"
    assert [one.name for one in list_runs(tmp_path)] == ["first", "second"]
    assert all(one.points == 6 and one.updated for one in list_runs(tmp_path))
    run(an_experiment("sweep.length=[3]", name="first"), out=tmp_path)
    assert latest(tmp_path).name == "first"


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are no runs"):
        latest(tmp_path)
    with pytest.raises(UserError, match="none yet"):
        open_run("small", tmp_path)
    run(an_experiment("sweep.length=[3]"), out=tmp_path)
    with pytest.raises(UserError, match="did you mean small"):
        open_run("smal", tmp_path)
    with pytest.raises(UserError, match="known: small"):
        open_run("zzz", tmp_path)


def test_a_damaged_run_is_listed_as_such(tmp_path: Path) -> None:
    run(an_experiment("sweep.length=[3]"), out=tmp_path)
    (tmp_path / "small" / "manifest.json").write_text("{")
    assert [bool(one.damaged) for one in list_runs(tmp_path)] == [True]
    with pytest.raises(DamagedError):
        open_run("small", tmp_path)
