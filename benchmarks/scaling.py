"""`python -m benchmarks.scaling`: cost against length and seeds, long runs, and workers.

Long runs are where the peers stop: their norms leave the range of the type, and their graphs the
memory of the machine. Each part prints what it found, and all of it goes to scaling.json, to a plot
and into README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import ours, report
from benchmarks.compare import ROOT, default_core
from benchmarks.sides import environment
from benchmarks.workloads import Workload, problem

RESULTS = report.HERE / "scaling.json"
LENGTHS = (1_000, 3_000, 10_000, 30_000, 100_000)
SEEDS = (1, 3, 10, 30, 100)
BLOCK = 1_000
MILLION = 1_000_000
BUDGET = "768MiB"
GIB = 1 << 30


def length(runs: int) -> dict[str, Any]:
    """LSTM, hidden 32, one sequence: seconds at each T, in turns."""
    return _curve(LENGTHS, lambda t: Workload("", "", "lstm", 1, 4, 32, (t,)), runs)


def seeds(runs: int) -> dict[str, Any]:
    """LSTM, hidden 32, T = 1000, 4 sequences: seconds for so many seeds, in turns."""
    return _curve(SEEDS, lambda n: Workload("", "", "lstm", 4, 4, 32, (1_000,), nets=n), runs)


def _curve(sizes: tuple[int, ...], work: Callable[[int], Workload], runs: int) -> dict[str, Any]:
    sides = {size: ours.prepare(problem(work(size), "float64")) for size in sizes}
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(runs):
        for size, run in sides.items():
            start = time.perf_counter()
            run()
            times[size].append(time.perf_counter() - start)
    medians = [float(np.median(times[size])) for size in sizes]
    top = np.log(medians[-1] / medians[-3]) / np.log(sizes[-1] / sizes[-3])
    return {"sizes": sizes, "seconds": list(times.values()), "order": float(top)}


def zone(runs: int) -> dict[str, Any]:
    """An RNN whose error vanishes over T = 100,000: seconds of each 1000 steps on the way back.

    Several runs; of each block the least, so that what else the machine does is not counted.
    """
    from gradflow.core.record import Norms

    steps = LENGTHS[-1]
    given = problem(Workload("", "", "rnn", 8, 4, 64, (steps,)), "float64")
    clock: list[tuple[int, float]] = []

    class Timed(Norms):
        def block(self, block: Any) -> None:
            super().block(block)
            clock.append((block.first, time.perf_counter()))

    run = ours.prepare(given, recorder=Timed)
    blocks = []
    for _ in range(max(runs, 7)):
        clock.clear()
        norms = run()[0]["h"]
        at, when = np.array(clock[::-1]).T
        blocks.append(-np.diff(np.interp(np.arange(BLOCK, steps, BLOCK), at, when)))
    least = np.min(blocks, axis=0)
    return {
        "seconds": least[::-1].tolist(),
        "slowest": float(least.max() / np.median(least)),
        "last": float(norms[0, 0, 0, :, 0].max()),
    }


def million(runs: int) -> dict[str, Any]:
    """T = 1,000,000: LSTM, hidden 128, one sequence, every 100th step, in a process of its own."""
    long, *short = [_child(t) for t in (MILLION, *[1_000] * runs)]
    per_step = float(np.median([s["seconds"] for s in short])) / 1_000
    return {
        "seconds": long["seconds"],
        "peak": long["peak"],
        "predicted": long["predicted"] + long["idle"],
        "off": (long["predicted"] + long["idle"]) / long["peak"] - 1,
        "per_step": long["seconds"] / MILLION / per_step,
    }


def _child(steps: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scaling", "--child", str(steps)]
    done = subprocess.run(command, cwd=ROOT, env=environment("float64"), check=True, stdout=-1)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def child(steps: int) -> dict[str, Any]:
    """Measure one point here: its seconds, bytes predicted, at the peak, and of the program."""
    from benchmarks.worker import peak_bytes
    from gradflow.experiment.config import parse
    from gradflow.experiment.measure.measurement import footprint, measure
    from gradflow.experiment.measure.plan import bundle, plan

    (whole,) = bundle(plan(parse(_long(steps))))
    measure(*bundle(plan(parse(_long(8)))))  # what is imported late belongs to the program
    idle, start = peak_bytes(), time.perf_counter()
    measure(whole)
    seconds = time.perf_counter() - start
    predicted = footprint(whole)[1].peak
    return {"seconds": seconds, "predicted": predicted, "peak": peak_bytes(), "idle": idle}


def _long(steps: int) -> dict[str, Any]:
    return {
        "name": "long",
        "model": {"cell": "lstm", "hidden": 128},
        "inputs": {"kind": "noise", "features": 4, "sequences": 1},
        "record": {"every": 100},
        "length": steps,
        "memory": BUDGET,
    }


def workers(runs: int) -> dict[str, Any]:
    """40 points of equal cost from the shell with -j 1 and -j 2, in turns."""
    gains = [round(0.8 + 0.01 * k, 2) for k in range(40)]
    experiment = {
        "name": "equal",
        "model": {"cell": "lstm", "hidden": 128},
        "inputs": {"kind": "noise", "features": 8, "sequences": 32},
        "length": 1000,
        "sweep": {"init.recurrent_gain": gains},
    }
    times: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "equal.yaml"
        config.write_text(json.dumps(experiment))  # JSON is YAML
        script = str(Path(sys.executable).with_name("gradflow"))
        for _ in range(runs):
            for jobs, seconds in times.items():
                own = ["run", str(config), "-j", str(jobs), "--fresh", "-q", "--results", folder]
                start = time.perf_counter()
                subprocess.run(
                    [script, *own],
                    env=environment("float64"),
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                seconds.append(time.perf_counter() - start)
    return {"seconds": times, "gain": float(np.median(times[1]) / np.median(times[2]))}


PARTS = {"length": length, "seeds": seeds, "zone": zone, "million": million, "workers": workers}


def lines(found: dict[str, Any]) -> list[str]:
    """What was found, in words."""
    out = []
    if "length" in found:
        out.append(
            f"Time grows as T^{found['length']['order']:.2f} from T = 10,000 to 100,000 (LSTM, "
            "hidden 32, one sequence)."
        )
    if "seeds" in found:
        out.append(
            f"Time grows as seeds^{found['seeds']['order']:.2f} from 10 to 100 (T = 1000, 4 "
            "sequences); fewer seeds share the overhead of a step among fewer."
        )
    if "zone" in found:
        z = found["zone"]
        out.append(
            f"No slow zone: an RNN over T = 100,000 whose error vanishes to 10^{z['last']:.0f}; "
            f"the slowest block of 1000 steps takes {z['slowest']:.2f} times the median block "
            "(at most 1.2 is asked)."
        )
    if "million" in found:
        m = found["million"]
        out.append(
            f"T = 1,000,000, LSTM, hidden 128, one sequence, every 100th step, memory {BUDGET}: "
            f"{m['seconds']:.0f} s, {m['per_step']:.2f} times the time per step at T = 1000 (at "
            f"most 2.2 is asked); peak {m['peak'] / GIB:.2f} GiB (at most 1), predicted "
            f"{m['predicted'] / GIB:.2f} GiB with the program ({m['off']:+.0%}; within 20 %)."
        )
    if "workers" in found:
        out.append(
            f"-j 2 is {found['workers']['gain']:.2f} times as fast as -j 1 on 40 points of equal "
            "cost (at least 1.8 is asked)."
        )
    return out


def plot(path: Path, found: dict[str, Any]) -> None:
    """Cost against length and seeds, with straight proportion as a guide, and the blocks' times."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for axis, name, label in zip(axes, ("length", "seeds"), ("T", "seeds"), strict=False):
        if name not in found:
            continue
        sizes, seconds = np.array(found[name]["sizes"]), np.array(found[name]["seconds"])
        median = np.median(seconds, axis=1)
        errors = np.abs(np.quantile(seconds, (0.25, 0.75), axis=1) - median)
        axis.errorbar(sizes, median, errors, fmt="o-", ms=4)
        axis.plot(sizes, median[-1] * sizes / sizes[-1], "k:", lw=1, label="in proportion")
        axis.set(xscale="log", yscale="log", xlabel=label, ylabel="seconds")
        axis.legend(frameon=False)
    if "zone" in found:
        axes[2].plot(np.array(found["zone"]["seconds"]) * 1e3, lw=1)
        axes[2].set(xlabel="thousands of steps back", ylabel="ms for 1000 steps", ylim=(0, None))
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--only", type=lambda s: s.split(","), help=", ".join(PARTS))
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each (default 5)")
    parser.add_argument("--core", type=int, default=default_core(), help="the core to run on")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child)))
        return
    unknown = set(options.only or ()) - set(PARTS)
    if unknown:
        parser.error(f"--only {', '.join(sorted(unknown))}: known are {', '.join(PARTS)}")
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    everywhere = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    for name in options.only or PARTS:
        if everywhere is not None:
            os.sched_setaffinity(0, everywhere if name == "workers" else {options.core})
        with threadpool_limits(1):
            found[name] = PARTS[name](options.runs)
        print(*lines({name: found[name]}), flush=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    plot(report.HERE / "scaling.png", found)
    told = [f"- {line}" for line in lines(found)]
    section = ["", *told, "", "![Cost against length and seeds](scaling.png)", ""]
    report.write(report.HERE / "README.md", "\n".join(section), "scaling")


if __name__ == "__main__":
    main()
