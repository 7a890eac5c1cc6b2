from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import stat
import subprocess
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradflow.core.quantity import Quantity, Result
from gradflow.errors import UserError
from gradflow.experiment.store import whole
from gradflow.experiment.store.folder import Folder
from gradflow.experiment.store.manifest import (
    SECTIONS,
    DamagedError,
    Stored,
    read_manifest,
    write_manifest,
)
from gradflow.experiment.store.names import net_name, set_aside
from gradflow.experiment.store.runs import Point, load_run, open_run
from gradflow.experiment.store.upkeep import remove
from gradflow.experiment.store.whole import encode, write_atomic

SETTINGS = {name: {"of": name} for name in SECTIONS if name not in ("net", "rest")} | {"dtype": "f"}


def ENVIRONMENT() -> Mapping[str, Any]:
    return {"numpy": "2"}


def a_point(number: int = 0, code: str = "new") -> Point:
    net = {"cell": "rnn"}
    return Point(f"{number:016x}", {"seed": number}, 3, number, SETTINGS, net, {"gradflow": code})


def a_result(value: float = 1.0) -> Result:
    return {"h": Quantity("h", ("step",), np.full(3, value))}


def value_of(path: Path, point: Point) -> float:
    return float(load_run(path, read_manifest(path).stored[point.hash], point)["h"].values[0])


def configure(folder: Folder, points: list[Point]) -> list[str]:
    return folder.configure("name: run", {"seed": [point.seed for point in points]}, points)


def test_what_is_put_in_comes_out(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "run", ENVIRONMENT)
    folder.put([(a_point(), a_result(2.5)), (a_point(1), a_result())], seconds=3.0)
    assert value_of(folder.path, a_point()) == 2.5
    manifest = read_manifest(folder.path)
    entry = manifest.stored[a_point().hash]
    data = (folder.path / "points" / f"{a_point().hash}.npz").read_bytes()
    assert entry.sha256 == hashlib.sha256(data).hexdigest()
    assert entry.seconds == 1.5
    assert manifest.environments[entry.environment] == ENVIRONMENT()
    assert manifest.code[entry.code] == {"gradflow": "new"}
    assert manifest.name == "run"


def test_points_are_read_from_the_manifest_alone(tmp_path: Path) -> None:
    points = [a_point(n) for n in range(3)]
    folder = Folder(tmp_path / "run", ENVIRONMENT)
    configure(folder, points)
    folder.put([(point, a_result()) for point in points[:2]], seconds=1.0)
    folder.flush()
    run = open_run(tmp_path / "run")
    assert list(run.points) == points[:2]
    assert list(run.missing) == [replace(points[2], code={})]
    assert run.points[0].settings is run.points[1].settings
    assert len(read_manifest(folder.path).sections) == len(SECTIONS)


def test_the_manifest_is_sorted_with_a_line_for_each_entry(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ENVIRONMENT)
    folder.put([(a_point(n), a_result()) for n in (2, 0, 1)], seconds=1.0)
    lines = (tmp_path / "manifest.json").read_text().splitlines()
    json.loads("\n".join(lines))
    first = lines.index(' "points": {') + 1
    assert [line.split('"')[1] for line in lines[first : first + 3]] == [
        a_point(n).hash for n in range(3)
    ]


def test_only_sound_points_count_as_there(tmp_path: Path) -> None:
    points = [a_point(n) for n in range(4)]
    Folder(tmp_path, ENVIRONMENT).put([(p, a_result()) for p in points[:3]], seconds=1.0)
    file = tmp_path / "points" / f"{points[1].hash}.npz"
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes(data)
    (tmp_path / "points" / f"{points[2].hash}.npz").unlink()
    assert Folder(tmp_path, ENVIRONMENT).sound(points) == {points[0].hash}
    for point, problem in [(points[1], "SHA-256"), (points[2], "cannot be read")]:
        with pytest.raises(DamagedError, match=f"{point.hash}.npz is damaged: .*{problem}"):
            value_of(tmp_path, point)
    Folder(tmp_path, ENVIRONMENT).put([(p, a_result(7.0)) for p in points[1:3]], seconds=1.0)
    assert [value_of(tmp_path, p) for p in points[:3]] == [1.0, 7.0, 7.0]


def test_a_result_without_an_entry_is_entered_if_it_is_the_point_it_says(tmp_path: Path) -> None:
    points = [a_point(n) for n in range(4)]
    Folder(tmp_path, ENVIRONMENT).put([(points[0], a_result(4.0))], seconds=1.0)
    (tmp_path / "manifest.json").unlink()
    place = tmp_path / "points"
    (place / f"{points[1].hash}.npz").write_bytes(b"PK half a file")
    swapped = (place / f"{points[0].hash}.npz").read_bytes()
    (place / f"{points[2].hash}.npz").write_bytes(swapped)
    (place / f"{points[3].hash}.npz").write_bytes(encode(a_result(), {"hash": points[3].hash}))
    folder = Folder(tmp_path, ENVIRONMENT)
    assert folder.sound(points) == {points[0].hash}
    folder.flush()
    assert value_of(tmp_path, a_point()) == 4.0
    assert read_manifest(tmp_path).stored[a_point().hash].seconds is None


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}', "[" * 9999])
def test_a_damaged_manifest_is_named_and_rebuilt(tmp_path: Path, text: str) -> None:
    Folder(tmp_path, ENVIRONMENT).put([(a_point(), a_result(4.0))], seconds=1.0)
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DamagedError, match=r"manifest.json is damaged(.|\n)*gradflow run"):
        read_manifest(tmp_path)
    folder = Folder(tmp_path, ENVIRONMENT)
    assert folder.sound([a_point()]) == {a_point().hash}
    folder.flush()
    assert value_of(tmp_path, a_point()) == 4.0


def test_a_letter_changed_anywhere_in_the_manifest_is_noticed(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ENVIRONMENT)
    configure(folder, [a_point(0), a_point(1)])
    file = tmp_path / "manifest.json"
    whole = file.read_bytes()
    for at in range(0, len(whole) - 4, 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(DamagedError):
            read_manifest(tmp_path)
    for size in range(0, len(whole) - 4, 101):
        file.write_bytes(whole[:size])
        with pytest.raises(DamagedError):
            read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("table", "key", "value", "problem"),
    [
        ("stored", a_point().hash, {"sha256": 5}, "stored"),
        ("points", a_point().hash, {"settings": "lost", "length": 1, "seed": 0}, "lost is missing"),
        ("points", "../x", {"settings": "lost", "length": 1, "seed": 0}, "points"),
        ("axes", "seed", [0, 1, 2], "the axes have 3"),
        ("settings", "more", {"model": "x"}, "settings: more"),
        ("surplus", "a", 1, "surplus"),
    ],
)
def test_a_manifest_of_another_shape_is_named(
    tmp_path: Path, table: str, key: str, value: Any, problem: str
) -> None:
    configure(Folder(tmp_path, ENVIRONMENT), [a_point()])
    manifest = read_manifest(tmp_path).model_dump()
    manifest.setdefault(table, {})[key] = value
    (tmp_path / "manifest.json").write_bytes(write_manifest(manifest))
    with pytest.raises(DamagedError, match=problem):
        read_manifest(tmp_path)


def test_a_large_manifest_is_written_and_kept_in_little_more_than_its_size() -> None:
    stored = {f"{key:016x}": Stored("code", "environment", 0.5, "0" * 64) for key in range(2000)}
    assert not hasattr(stored["0" * 16], "__dict__")  # a row each for as many points as there are
    tracemalloc.start()
    size = len(write_manifest({"format": 2, "stored": stored}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 2000 * 100
    assert peak < 2.6 * size


def test_the_first_writer_of_a_point_wins_unless_it_is_replaced(tmp_path: Path) -> None:
    one, other = Folder(tmp_path, ENVIRONMENT), Folder(tmp_path, lambda: {"numpy": "3"})
    one.put([(a_point(), a_result(1.0))], seconds=1.0)
    other.put([(a_point(), a_result(2.0))], seconds=1.0)
    assert value_of(tmp_path, a_point()) == 1.0
    other.put([(a_point(), a_result(2.0))], seconds=1.0, replace=True)
    other.flush()
    assert value_of(tmp_path, a_point()) == 2.0
    assert list(read_manifest(tmp_path).environments.values()) == [{"numpy": "3"}]


def test_what_other_code_has_made_is_not_good_and_is_named(tmp_path: Path) -> None:
    Folder(tmp_path, ENVIRONMENT).put([(a_point(code="old"), a_result(1.0))], seconds=1.0)
    folder = Folder(tmp_path, ENVIRONMENT)
    assert configure(folder, [a_point()]) == ["the code of gradflow"]
    assert folder.sound([a_point()]) == set()
    folder.drop([a_point().hash])
    assert open_run(tmp_path).missing == (replace(a_point(), code={}),)
    assert folder.sound([a_point()]) == set()
    folder.put([(a_point(), a_result(2.0))], seconds=1.0)
    folder.flush()
    assert value_of(tmp_path, a_point()) == 2.0
    assert configure(folder, [a_point()]) == []


def test_leftovers_of_a_killed_writer_go(tmp_path: Path) -> None:
    Folder(tmp_path, ENVIRONMENT)
    (tmp_path / "points" / f".x.npz.1{whole.TEMPORARY}").touch()
    (tmp_path / f".manifest.json.1{whole.TEMPORARY}").touch()
    for place in ("weights", "unfinished"):
        (tmp_path / place).mkdir()
        (tmp_path / place / f".x.npz.1{whole.TEMPORARY}").touch()
    unlocked = tmp_path / f".report.html.1{whole.TEMPORARY}"
    unlocked.touch()
    Folder(tmp_path, ENVIRONMENT)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {".lock", unlocked.name}  # a page may be being written just now


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "data"
    whole.write_atomic(file, b"old")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        whole.write_atomic(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(whole, "_lock", refuse)
    with pytest.raises(UserError, match=r"cannot lock files(.|\n)*--results"):
        Folder(tmp_path, ENVIRONMENT)


def write_many(path: Path, first: int, last: int) -> None:
    folder = Folder(path, ENVIRONMENT)
    for number in range(first, last, 2):
        group = [a_point(number), a_point(number + 1)]
        folder.put([(p, a_result(p.seed)) for p in group], seconds=1.0)
    folder.flush()


def test_two_processes_fill_one_folder(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write_many, args=(tmp_path, *r)) for r in ((0, 60), (20, 80))]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    points = [a_point(number) for number in range(80)]
    assert set(read_manifest(tmp_path).stored) == {point.hash for point in points}
    assert [value_of(tmp_path, point) for point in points] == list(range(80))


def test_links_and_modes_stay(tmp_path: Path) -> None:
    there, link = tmp_path / "there.csv", tmp_path / "link.csv"
    there.write_text("old")
    there.chmod(0o640)
    link.symlink_to(there)
    write_atomic(link, b"new")
    assert link.is_symlink()
    assert there.read_text() == "new"
    assert stat.S_IMODE(there.stat().st_mode) == 0o640


def test_what_is_no_regular_file_is_written_into(tmp_path: Path) -> None:
    write_atomic(Path(os.devnull), b"gone")
    assert Path(os.devnull).is_char_device()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
    write_atomic(pipe, b"through")
    assert reader.communicate(timeout=10)[0] == b"through"
    assert pipe.is_fifo()


def test_folders_are_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no such folder\n  fix: make it"):
        write_atomic(tmp_path / "deep" / "file", b"")
    assert not (tmp_path / "deep").exists()


def test_what_only_one_of_two_writers_knows_of_is_kept(tmp_path: Path) -> None:
    points = [a_point(n) for n in range(3)]
    ours, theirs = (Folder(tmp_path / "run", ENVIRONMENT) for _ in range(2))
    ours.put([(points[0], a_result())], seconds=1.0)
    ours._due = math.inf  # its next entry waits in memory
    ours.put([(points[1], a_result())], seconds=1.0)
    theirs.put([(points[2], a_result())], seconds=1.0)
    theirs.flush()
    ours.flush()
    assert sorted(read_manifest(ours.path).stored) == [point.hash for point in points]


def test_a_folder_that_was_moved_by_hand_is_called_what_it_is_called_now(tmp_path: Path) -> None:
    Folder(tmp_path / "old", ENVIRONMENT).put([(a_point(), a_result())], seconds=1.0)
    (tmp_path / "old").rename(tmp_path / "new")
    folder = Folder(tmp_path / "new", ENVIRONMENT)
    folder.put([(a_point(1), a_result())], seconds=1.0)
    folder.flush()
    assert read_manifest(tmp_path / "new").name == "new"


def test_what_is_not_gradflow_s_stays_when_a_run_is_removed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Folder(tmp_path / name, ENVIRONMENT).put([(a_point(), a_result())], seconds=1.0)
    (tmp_path / "a" / "points" / "mine.txt").write_text("notes")
    assert remove(tmp_path / "a") == ["points/mine.txt"]
    assert [one.name for one in tmp_path.rglob("*") if one.is_file() and "b" not in one.parts] == [
        "mine.txt"
    ]
    assert remove(tmp_path / "b") == []
    assert not (tmp_path / "b").exists()


def test_a_net_s_file_says_its_axes_or_adds_what_tells_it_apart() -> None:
    key = "0123456789"
    plain = {"model.cell": "lstm(peephole=full)", "length": 40, "seed": 0}
    assert net_name(plain, key) == "lstm-peephole=full-_length-40_seed-0.npz"
    assert net_name(plain | {"inputs.path": "a b"}, key).endswith("_path-a-b_01234567.npz")
    assert net_name({"model.cell": "rnn", "x": "y" * 300}, key).endswith("y_01234567.npz")
    assert net_name({}, key) == "net.npz"


def test_a_whole_archive_with_a_byte_changed_inside_says_nothing_of_its_origin() -> None:
    data = whole.encode(a_result(), {"hash": "0123"})
    assert whole.origin(data) == {"hash": "0123"}
    at = data.index(b"0123")
    with pytest.raises(ValueError, match="not a whole result"):
        whole.origin(data[:at] + b"9" + data[at + 1 :])


def test_a_run_of_no_points_is_empty(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "run", ENVIRONMENT)
    folder.put([(a_point(), a_result())], seconds=1.0)
    configure(folder, [])
    run = open_run(tmp_path / "run")
    assert (list(run.points), list(run.missing)) == ([], [])


def test_a_network_without_a_label_is_no_network(tmp_path: Path) -> None:
    configure(Folder(tmp_path, ENVIRONMENT), [a_point()])
    manifest = read_manifest(tmp_path).model_dump()
    (row,) = manifest["settings"].values()
    manifest["sections"][row["net"]] = {"cell": 5}
    (tmp_path / "manifest.json").write_bytes(write_manifest(manifest))
    with pytest.raises(DamagedError, match="a network has no label"):
        read_manifest(tmp_path)


def test_what_is_set_aside_twice_in_a_second_lies_in_two_places(tmp_path: Path) -> None:
    before, places = SimpleNamespace(updated="2026-01-02T03:04:05+00:00"), []
    for text in ("one", "two"):
        (tmp_path / "plots").mkdir()
        (tmp_path / "plots" / "a.svg").write_text(text)
        places.append(set_aside(tmp_path, before))  # type: ignore[arg-type]
    assert [one.name for one in places] == ["20260102T030405", "20260102T030405-2"]
    assert [(one / "plots" / "a.svg").read_text() for one in places] == ["one", "two"]
    assert set_aside(tmp_path, before) is None  # type: ignore[arg-type]
