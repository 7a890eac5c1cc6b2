"""In a poor place: no home, terminal or stdin, the C locale, a narrow screen, a strict umask."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

COMMANDS = """\
init 'a new ö.yaml'
validate 'a new ö.yaml'
run 'my ü.yaml'
plot gedächtnis --state s --format svg
show gedächtnis
baseline 'my ü.yaml' -q
check 'my ü.yaml'
export gedächtnis --to csv --out 'a ß.csv'
ls
mv gedächtnis nächste
run results/nächste/config.yaml -q
"""

DRIVER = """\
import os, shlex, sys
from gradflow.cli import main
os.close(0)
os.umask(0o77)
for line in sys.argv.pop().splitlines():
    sys.argv[1:] = shlex.split(line)
    try:
        main()
    except SystemExit as done:
        print(f"exit {done.code}", flush=True)
"""


@dataclass(frozen=True)
class Seen:
    home: Path
    out: str
    told: str


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    home = tmp_path_factory.mktemp("a place") / "für 実験"
    home.mkdir()
    np.save(home / "my ß.npy", np.linspace(0, 1, 24).reshape(2, 6, 2))
    (home / "my ü.yaml").write_text(
        "name: gedächtnis\nmodel: {hidden: 2}\ninputs: {kind: file, path: 'my ß.npy'}\n"
        "sweep: {model.cell: [rnn, {kind: lstm, peephole: diagonal}]}\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, COMMANDS],
        cwd=home,
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), "LC_ALL": "C", "COLUMNS": "60"},
        capture_output=True,
        check=True,
        start_new_session=True,
    )
    return Seen(home, done.stdout.decode(), done.stderr.decode())


def test_all_goes_well(seen: Seen) -> None:
    assert seen.out.count("exit 0\n") == len(COMMANDS.splitlines()), seen.told
    assert "results/gedächtnis: 2 points measured" in seen.told


def test_what_is_written_is_the_users_alone(seen: Seen) -> None:
    made = [seen.home / "a ß.csv", *(seen.home / "results").rglob("*")]
    assert len(made) > 9
    assert {path.stat().st_mode & 0o77 for path in made} == {0}


def test_tables_fit_a_narrow_screen(seen: Seen) -> None:
    said = dict(zip(COMMANDS.splitlines(), seen.out.split("exit 0\n"), strict=False))
    assert re.search(r"\b\d{4}-\d\d-\d\d\b", said["ls"])  # in one piece
    lines = (said["show gedächtnis"] + said["ls"]).splitlines()
    assert {"diagonal)"} <= {line.strip().partition(" ")[0] for line in lines}
    assert max(map(len, lines)) <= 60, max(lines, key=len)


def test_what_a_message_says_to_type_is_typed_so(seen: Seen) -> None:
    command = shlex.split(seen.told.partition("next: ")[2].partition("\n")[0])
    assert command == ["gradflow", "run", "a new ö.yaml"]
