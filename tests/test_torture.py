"""A slice of what `make torture` measures at full length, a family at a time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]


def torture(*words: str) -> subprocess.CompletedProcess[str]:
    python = (sys.executable, "-m", "tests.torture", *words)
    paths = os.pathsep.join(filter(None, [str(HOME), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        python, cwd=HOME, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_rows_are_known_by_their_name() -> None:
    done = torture("kill")
    assert done.returncode == 2
    assert "unknown row kill; known: gate, kills, " in done.stderr


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="a library is compiled and preloaded"
)
def test_a_file_is_the_one_before_or_the_one_after_wherever_its_write_stops() -> None:
    done = torture("writes", "--fraction", "0.001")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": 0 neither, 0 leftovers of a failure | yes |" in done.stdout


@pytest.mark.extras
@pytest.mark.parametrize("row", ["kills", "writes", "damage", "together", "names"])
def test_a_slice_of_the_torture_holds(row: str) -> None:
    """Of families that hold without a clock; what has to end within seconds is not judged here."""
    done = torture(row, "--fraction", "0.01")
    lines = [line for line in done.stdout.splitlines() if f"`make torture ROW={row}` |" in line]
    assert lines, done.stderr
    broken = [line for line in lines if "| **no** |" in line and " within " not in line]
    assert not broken, "\n".join(broken) + done.stderr
