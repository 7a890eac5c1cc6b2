"""Progress, as a bar or a line: on stderr, and only where someone watches."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradflow.experiment.run import OnProgress, Progress

__all__ = ["bar", "line"]


def _watched(quiet: bool) -> bool:
    return not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def line(name: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show one line while the context lasts; yield what says where the work is."""
    if not _watched(quiet):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(name)) as status:
        yield lambda text: status.update(Text(f"{name}: {text}"))


@contextmanager
def bar(name: str, *, quiet: bool = False) -> Iterator[OnProgress | None]:
    """Show a bar while the context lasts; yield what moves it, or None where there is no bar."""
    if not _watched(quiet):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[points]} points", markup=False),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(name, total=1.0, points="0")

        def move(progress: Progress) -> None:
            points = f"{progress.points}/{progress.total}"
            shown.update(task, completed=progress.share, points=points)

        yield move
