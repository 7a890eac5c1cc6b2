"""The gate's two errors: red where nothing has changed, and green where a derivative has."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping

from tests.torture.ground import GATES, RESULTS, ROOT, Row, times, workplace
from tests.torture.misses import misses

KERNELS = ("", "Nehalem", "Sandybridge", "Haswell", "Zen", "Core2")
SIMD = ("", "X86_V3 AVX2 FMA3")  # what NumPy 2.4, and what 1.26, call the same level
SIDE_BY_SIDE = ((1, 1), (2, 1), (1, 2))
"""Threads and workers."""

PYTHONS = "GRADFLOW_PYTHONS"
"""Other interpreters, with other versions of Python and NumPy, apart by colons."""


def measure(fraction: float) -> Iterator[Row]:
    """Judge the same program elsewhere, and changed programs here."""
    yield _false_alarms(fraction)
    yield misses(fraction)


def _false_alarms(fraction: float) -> Row:
    """Check every committed gate, and a chaotic one, wherever this machine can pretend to be."""
    others = [path for path in os.environ.get(PYTHONS, "").split(":") if path]
    ways = list(itertools.product([sys.executable, *others], KERNELS, SIMD, SIDE_BY_SIDE))
    random.Random(0).shuffle(ways)
    chosen = ways[: times(len(ways), fraction, 1)]
    told: Counter[int] = Counter()
    with workplace() as compiled:
        for python, kernel, simd, (threads, workers) in chosen:
            found = _checked(python, workers, {
                "OPENBLAS_CORETYPE": kernel, "NPY_DISABLE_CPU_FEATURES": simd,
                "OPENBLAS_NUM_THREADS": str(threads), "PYTHONPYCACHEPREFIX": str(compiled),
            })  # fmt: skip
            told.update(found.values())
            for name, code in found.items():
                if code:
                    print(f"{name}: exit {code} with {(python, kernel, simd, threads, workers)}",
                          file=sys.stderr)  # fmt: skip
    total = sum(told.values())
    figure = (
        f"{total} checks in {len(chosen)} surroundings ({len(KERNELS) - 1} kernels, SIMD levels, "
        f"threads, workers, {1 + len(others)} Python and NumPy): {total - told[0]} red"
    )
    return Row("a gate is green where nothing has changed", figure, total == told[0])


def _checked(python: str, workers: int, surroundings: Mapping[str, str]) -> dict[str, int]:
    """Check all gates in a process of their own; return the exit codes."""
    env = os.environ | {"PYTHONPATH": str(ROOT)} | {k: v for k, v in surroundings.items() if v}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    code = (
        "import json, sys\nfrom pathlib import Path\nimport gradflow\n"
        "if __name__ == '__main__':\n out, jobs, *files = sys.argv[1:]\n"
        " print(json.dumps({f: gradflow.check(gradflow.load(f), out=out, jobs=int(jobs)).exit_code"
        " for f in files}))\n"
    )
    with workplace() as where:
        (where / "check.py").write_text(code)
        shutil.copytree(RESULTS / "baselines", where / "results" / "baselines")
        chaotic = ROOT / "tests" / "report" / "chaotic.yaml"
        shutil.copy(chaotic.with_suffix(".json"), where / "results" / "baselines")
        files = [*map(str, GATES), str(chaotic)]
        words = [python, str(where / "check.py"), str(where / "results"), str(workers), *files]
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return dict.fromkeys(files, done.returncode)
        found: dict[str, int] = json.loads(done.stdout)
        return found
