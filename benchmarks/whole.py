"""Whole processes: the quickstart from the shell, against a script for the same curves."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare import ROOT, bound
from benchmarks.sides import environment

QUICKSTART = ROOT / "configs" / "quickstart.yaml"


def commands(dtype: str, out: Path) -> dict[str, list[str]]:
    script = str(Path(sys.executable).with_name("gradflow"))
    own = ["run", str(QUICKSTART), f"dtype={dtype}", "--fresh", "-q", "--results", str(out)]
    peer = ["-m", "benchmarks.peers.quickstart_torch", dtype, str(out / "curves.npz")]
    return {"gradflow run": [script, *own], "torch script": [sys.executable, *peer]}


def whole(dtypes: Sequence[str], runs: int, core: int) -> list[dict[str, Any]]:
    """Wall and processor seconds and peak bytes of each command, in turns."""
    timings = []
    for dtype in dtypes:
        with tempfile.TemporaryDirectory() as folder:
            sides = commands(dtype, Path(folder))
            own = {
                side: {"side": side, "dtype": dtype, "wall": [], "cpu": [], "peak": 0}
                for side in sides
            }
            for _ in range(runs + 1):  # the first, with cold caches of files, does not count
                for side, command in sides.items():
                    wall, cpu, peak = _run(command, dtype, core)
                    own[side]["wall"].append(wall)
                    own[side]["cpu"].append(cpu)
                    own[side]["peak"] = max(own[side]["peak"], peak)
            for timing in own.values():
                del timing["wall"][0], timing["cpu"][0]
            timings += own.values()
    return timings


def _run(command: list[str], dtype: str, core: int) -> tuple[float, float, int]:
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=environment(dtype),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        preexec_fn=bound(core),
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}")
    scale = 1 if sys.platform == "darwin" else 1024
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * scale
