"""``python -m tests.torture [ROW ...] [--fraction 0.1]``: measure, and print the table."""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module

ROWS = ("kills", "writes", "damage", "together", "hostile", "names", "fuzz", "large", "gate",
        "strength")  # fmt: skip
"""The families, in the order of the table; each is a module here."""

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
    print("| promise | figure | holds | measured again by |\n|---|---|---|---|")
    held = True
    for name in asked.rows or [name for name in ROWS if name not in BY_NAME]:
        start = time.monotonic()
        for row in import_module(f"tests.torture.{name}").measure(asked.fraction):
            held &= row.passed
            verdict = "yes" if row.passed else "**no**"
            cells = (row.promise, row.figure, verdict, f"`make torture ROW={name}`")
            print("|", " | ".join(cells), "|", flush=True)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
