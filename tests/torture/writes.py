"""Killed, and failed, at every system call by which a run changes its folder.

A library that is preloaded stands between Python and the C library; it is compiled here. Each call
is the last one once, and fails once with EIO; from each on the disk is full once.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from gradflow.experiment.measure import training
from gradflow.experiment.store import folder
from gradflow.experiment.store.upkeep import examine
from gradflow.experiment.store.whole import write_atomic
from tests.torture.ground import LEARNING, Ended, Row, command, launch, workplace
from tests.torture.kills import stored

KILL = -1
LEAST = 0.005
"""The fraction below which one file alone is written."""

FAULTS = {
    "killed": (KILL, 0),
    "EIO": (errno.EIO, 0),
    "full": (errno.ENOSPC, 1),
}
BEFORE = """\
name: run
model: {cell: rnn, hidden: 3}
inputs: {kind: noise, sequences: 2}
length: 5
sweep: {model.cell: [rnn]}
"""
AFTER = BEFORE.replace("[rnn]", "[rnn, cec]")
SCENES = {"a run's first points": ("", AFTER), "a sweep that grew": (BEFORE, AFTER),
          "nets that learn": ("", f"name: run\n{LEARNING}")}  # fmt: skip


def measure(fraction: float) -> Iterator[Row]:
    """Go through all calls in a process that was started with the library."""
    if not shutil.which("cc"):
        yield Row(
            "a write is whole wherever it is stopped", "no C compiler (cc): not measured", False
        )
        return
    with workplace() as place:
        library = place / "shim.so"
        source = Path(__file__).with_name("shim.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
        words = (sys.executable, "-m", "tests.torture.writes", str(fraction))
        env = os.environ | {"LD_PRELOAD": str(library)}
        child = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        yield _one(Counter(json.loads(child.stdout.readline())))
        for name, line in zip(SCENES, child.stdout, strict=False):
            yield from _rows(name, Counter(json.loads(line)))
        assert child.wait() == 0


def _one(found: Counter[str]) -> Row:
    figure = (
        f"{found['killed']} kills, {found['EIO']} times EIO, {found['full']} times a full disk, at"
        f" each of its calls: {found['torn']} neither, {found['leftovers']} leftovers of a failure"
    )
    passed = found["killed"] > 0 and not (found["torn"] or found["leftovers"])
    return Row(
        "a file is the one before or the one after, wherever its write stops", figure, passed
    )


def _rows(name: str, found: Counter[str]) -> Iterator[Row]:
    wrong = ("lost or torn", "not resumed", "other bytes")
    said = ", ".join(f"{found[one]} {one}" for one in wrong)
    figure = f"{found['calls']} calls, {found['killed']} kills: {said}"
    passed = not any(found[one] for one in wrong)
    yield Row(f"killed between any two system calls of {name}, nothing is lost", figure, passed)
    bad = ("other exit codes", "unclear", "lost or torn (failed)", "not resumed (failed)")
    said = ", ".join(f"{found[one]} {one}" for one in bad)
    unharmed = found["EIO, unharmed"] + found["full, unharmed"]
    figure = (
        f"{found['EIO']} times EIO, {found['full']} times a full disk,"
        f" {unharmed} of them where it does not matter: {said}"
    )
    passed = not any(found[one] for one in bad)
    promise = f"a call of {name} that fails ends in exit code 3 and one message"
    yield Row(promise, figure, passed)


def _armed(where: Path, at: int, fault: int, lasting: int) -> Callable[[], object]:
    def work() -> None:
        training.PAUSE = folder.INDEX_SHARE = 0  # the same calls every time, however long they take
        shim = ctypes.CDLL(None)
        shim.shim_arm(str(where).encode(), at, fault, lasting)
        try:
            command("run", "run.yaml", "-q")()
        finally:
            if fault == 0:
                os.write(2, f"calls={shim.shim_count()}\n".encode())

    return work


def _run(where: Path, at: int = 0, fault: int = 0, lasting: int = 0) -> Ended:
    return launch(_armed(where, at, fault, lasting), where).end()


def _begin(where: Path, before: str, after: str) -> None:
    """Put what a run left before, which is made once, where the one after will work."""
    results, kept = where / "results", where / "kept"
    shutil.rmtree(results, ignore_errors=True)
    if before and not kept.exists():
        (where / "run.yaml").write_text(before)
        assert _run(where).code == 0
        results.rename(kept)
    if before:
        shutil.copytree(kept, results)
    (where / "run.yaml").write_text(after)


def one_file() -> Counter[str]:
    """Stop the write of one file at each of its calls."""
    found = Counter[str]()
    with workplace() as where:
        place = where / "files"
        place.mkdir()
        file, before, after = place / "x.npz", b"before", bytes(1 << 16)
        for at in range(1, 100):
            for how, (fault, lasting) in FAULTS.items():
                file.write_bytes(before)

                def work(at: int = at, fault: int = fault, lasting: int = lasting) -> None:
                    ctypes.CDLL(None).shim_arm(str(place).encode(), at, fault, lasting)
                    write_atomic(file, after)

                ended = launch(work, where).end()
                if ended.code == 0 and how == "killed":
                    return found
                found[how] += 1
                found["torn"] += file.read_bytes() not in (before, after)
                found["leftovers"] += how != "killed" and len(list(place.iterdir())) > 1
                for left in place.glob(".*"):
                    left.unlink()
    return found


def through(before: str, after: str, fraction: float) -> Counter[str]:
    """Stop a run at each of its calls."""
    found = Counter[str]()
    with workplace() as where:
        _begin(where, before, after)
        old = stored(where / "results" / "run")
        ended = _run(where)
        assert ended.code == 0, ended.err
        found["calls"] = calls = int(ended.err.rpartition("calls=")[2])
        whole = stored(where / "results" / "run")
        step = max(1, round(1 / fraction))
        for at in range(min(calls, step) // 2 + 1, calls + 1, step):
            for how, (fault, lasting) in FAULTS.items():
                _begin(where, before, after)
                ended = _run(where, at, fault, lasting)
                found[how] += 1
                there = stored(where / "results" / "run")
                if ended.code == 0 and there == whole and not ended.err:
                    found[f"{how}, unharmed"] += 1  # such as making a folder that is there
                    continue
                _judge(ended, how, at, found)
                failed = "" if how == "killed" else " (failed)"
                sound = all(there.get(name) == data for name, data in old.items()) and all(
                    whole[name] == data for name, data in there.items()
                )
                resumed = _run(where)
                found[f"lost or torn{failed}"] += not sound
                if resumed.code or examine(where / "results" / "run"):
                    print(f"{how} at {at}: {resumed.code} {resumed.err}", file=sys.stderr)
                    found[f"not resumed{failed}"] += 1
                found["other bytes"] += stored(where / "results" / "run") != whole
    return found


def _judge(ended: Ended, how: str, at: int, found: Counter[str]) -> None:
    if how == "killed":
        return
    clear = ended.err.startswith("gradflow: ") and ended.err.count("\n") <= 2
    clear &= "internal" not in ended.err and "Traceback" not in ended.err
    if ended.code != 3 or not clear:
        print(f"{how} at {at}: {ended.code} {ended.err}", file=sys.stderr)
    found["other exit codes"] += ended.code != 3
    found["unclear"] += not clear


if __name__ == "__main__":
    print(json.dumps(one_file()), flush=True)
    share = float(sys.argv[1])
    for scene in SCENES.values() if share >= LEAST else ():
        print(json.dumps(through(*scene, share)), flush=True)
