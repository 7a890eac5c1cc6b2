from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gradflow.experiment.store.manifest import environment

ME = ("-c", "user.name=me", "-c", "user.email=me@example.org")


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *ME, *words], check=True, capture_output=True)


def test_what_results_were_computed_with(tmp_path: Path) -> None:
    found = environment(tmp_path)
    assert found["numpy"]
    assert found["cpu"]
    assert all(library for library in found["blas"])
    assert found["commit"] is None


def test_the_commit_and_whether_it_is_clean(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    clean = environment(tmp_path)["commit"]
    assert len(clean) == 40
    (tmp_path / "file").write_text("two")
    assert environment(tmp_path)["commit"] == clean + "+"


def test_no_git_and_no_description_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(subprocess, "run", refuse)
    found = environment()
    assert found["cpu"]
    assert found["commit"] is None


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init")
    assert environment(tmp_path)["commit"] is None
