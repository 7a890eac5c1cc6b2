"""One side of a comparison in a process of its own: one core, one thread.

Reads commands from stdin and answers each with a line of JSON: ``check PATH`` runs once and writes
the norms, ``run`` runs and tells the seconds, ``quit`` tells the peak memory.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sides import SIDES
from benchmarks.workloads import WORKLOADS, problem


def peak_bytes() -> int:
    """Peak resident bytes of this program.

    `ru_maxrss` survives exec and would count the parent, so Linux's own figure comes first.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _timed(call: Any) -> tuple[Any, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def _versions() -> dict[str, str]:
    names = ("numpy", "torch", "jax", "gradflow")
    found = {n: getattr(sys.modules.get(n), "__version__", None) for n in names}
    return {name: version for name, version in found.items() if version}


def main(side_name: str, workload: str, dtype: str, core: str) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    side = SIDES[side_name]
    given = problem(WORKLOADS[workload], dtype)
    module = importlib.import_module(side.module)
    idle = peak_bytes()
    run, seconds, _ = _timed(lambda: module.prepare(given, **side.options))
    _say(prepare=seconds, idle=idle, versions=_versions())
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "check":
            lengths = run() or []
            np.savez(
                rest[0], **{f"{k}/{s}": v for k, d in enumerate(lengths) for s, v in d.items()}
            )
            _say()
        elif command == "run":
            _, wall, cpu = _timed(run)
            _say(wall=wall, cpu=cpu)
        elif command == "quit":
            _say(peak=peak_bytes())
            return


def _say(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
