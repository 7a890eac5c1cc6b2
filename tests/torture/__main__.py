"""``python -m tests.torture [ROW ...] [--fraction 0.1]``: measure, and print the table.

Several rows are measured two at a time, each in a process of its own.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

ROWS = ("gate", "kills", "writes", "damage", "together", "hostile", "names", "fuzz", "large",
        "strength")  # fmt: skip
"""The families, the longest first; each is a module here."""

AT_ONCE = 2

BY_NAME = {"strength"}
"""Families that are measured where they are asked for alone: they take an hour of their own."""


def main() -> int:
    """Measure the rows asked for; 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--fraction", type=float, default=1.0, help="of the full figures")
    asked = parser.parse_args()
    if unknown := set(asked.rows) - set(ROWS):
        parser.error(f"unknown row {', '.join(sorted(unknown))}; known: {', '.join(ROWS)}")
    rows = asked.rows or [name for name in ROWS if name not in BY_NAME]
    if len(rows) > 1:
        return _apart(rows, asked.fraction)
    held = True
    print("| promise | figure | holds | measured again by |\n|---|---|---|---|", flush=True)
    start = time.monotonic()
    for row in import_module(f"tests.torture.{rows[0]}").measure(asked.fraction):
        held &= row.passed
        verdict = "yes" if row.passed else "**no**"
        cells = (row.promise, row.figure, verdict, f"`make torture ROW={rows[0]}`")
        print("|", " | ".join(cells), "|", flush=True)
    print(f"{rows[0]}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return 0 if held else 1


def _apart(rows: Sequence[str], fraction: float) -> int:
    """Measure each row in a process of its own; print their tables as one."""
    words = [sys.executable, "-m", "tests.torture", "--fraction", str(fraction)]
    one = functools.partial(subprocess.run, stdout=subprocess.PIPE, text=True, check=False)
    start, held = time.monotonic(), True
    with ThreadPoolExecutor(AT_ONCE) as pool:
        measured = pool.map(one, [[*words, row] for row in rows])
        for place, done in enumerate(measured):
            print("".join(done.stdout.splitlines(keepends=True)[2 * bool(place) :]), end="")
            sys.stdout.flush()
            held &= not done.returncode
    print(f"in all: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
