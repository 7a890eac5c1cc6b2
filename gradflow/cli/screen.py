"""What commands share: the options they read, what they print, and progress while they work.

Tables and JSON go to stdout, words to stderr, each quiet about broken pipes; progress shows on
stderr, and only where someone watches.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from gradflow.cli import complete
from gradflow.errors import UserError, visible

if TYPE_CHECKING:
    from rich.table import Table

    from gradflow.experiment.config import Experiment
    from gradflow.experiment.run import OnProgress, Progress
    from gradflow.experiment.store.current import Unchanged
    from gradflow.report.tables.layout import Sheet

__all__ = [
    "Config", "Jobs", "Json", "Overrides", "Quiet", "Results", "RunName", "Words", "bar", "emit",
    "emit_json", "files_and_changes", "foresee", "grid", "line", "piped", "read_experiment",
    "read_unchanged", "say", "show_sheet", "size", "span",
]  # fmt: skip

Config: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG",
        help="Experiment file, or a run's folder.",
        show_default=False,
        autocompletion=complete.configs,
    ),
]
Overrides: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE", help="Changes to it, e.g. model.hidden=64.", show_default=False
    ),
]
Words: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CONFIG|KEY=VALUE",
        help="Further files, and changes to all of them.",
        show_default=False,
    ),
]
RunName: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="A run's name or folder; default: the latest.",
        show_default=False,
        autocompletion=complete.runs,
    ),
]
Results: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--results", metavar="DIR", envvar="GRADFLOW_RESULTS",
        help="Where runs and baselines are kept.",
    ),
]  # fmt: skip
Jobs: TypeAlias = Annotated[
    int,
    typer.Option("-j", "--jobs", min=0, metavar="N", help="Processes; 0: one for each processor."),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("-q", "--quiet", help="Say nothing but what went wrong.")
]


WIDE = 160
"""Columns of a table that goes into a file or a pipe."""


def files_and_changes(config: Path, words: Sequence[str] | None) -> tuple[list[Path], list[str]]:
    """Tell the further files from the overrides that hold for all of them."""
    changes = [word for word in words or () if "=" in word]
    return [config, *(Path(word) for word in words or () if word not in changes)], changes


def say(text: str) -> None:
    """Write words to stderr, if there is one; what would not show is escaped."""
    with contextlib.suppress(OSError, ValueError):  # closed or full: the exit code still speaks
        typer.echo(visible(text, keep="\n\t"), err=True)


def emit(text: str) -> None:
    """Write data to stdout, as it is."""
    with piped():
        sys.stdout.write(text)


def emit_json(value: Any) -> None:
    """Write strict JSON to stdout."""
    emit(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n")


def show_sheet(sheet: Sheet) -> None:
    """Write a table to stdout, as wide as the terminal."""
    from rich.console import Console

    from gradflow.report.tables.layout import print_sheet

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE
    with piped():
        print_sheet(sheet, Console(width=width))


def read_experiment(
    config: Path, overrides: Sequence[str] | None, *, quiet: bool = False
) -> Experiment:
    """Read an experiment file, or a run's, and say what is right and should be known."""
    from gradflow.experiment.config import load_config

    if config.is_dir():
        if not any((config / name).is_file() for name in ("config.yaml", "manifest.json")):
            raise UserError(
                f"{config} is a folder, but no run's: it has no config.yaml\n"
                "  fix: name an experiment file, or a run's folder as gradflow ls shows them"
            )
        config = config / "config.yaml"
    experiment = load_config(config, overrides or ())
    for note in () if quiet else experiment.notes:
        say(note)
    return experiment


def read_unchanged(
    config: Path, overrides: Sequence[str] | None, results: Path, *, quiet: bool = False
) -> Unchanged | None:
    """Return the run of an experiment that needs no measuring, and say what was said of its file.

    None: something has changed, or may have; read the experiment.
    """
    from gradflow.experiment.store.current import unchanged

    file = config / "config.yaml" if config.is_dir() else config
    found = unchanged(file, overrides or (), results)
    for note in found.asked.notes if found and not quiet else ():
        say(note)
    return found


def foresee(plot: Path | None, summary: Path | None = None) -> None:
    """Refuse a figure or summary that cannot be written, before anything is measured for it."""
    if summary is not None and (summary.is_dir() or not summary.parent.is_dir()):
        what = "a folder" if summary.is_dir() else "in a folder that is not there"
        raise UserError(f"{summary} is {what}\n  fix: name a file, for instance summary.md")
    if plot is not None:
        from gradflow.report.figures.output import target

        target(plot)


def grid(header: Sequence[str], rows: Sequence[Sequence[str]], words: Collection[str]) -> None:
    """Write rows as a table to stdout; the columns of `words` are names, all others numbers."""
    from gradflow.report.tables.layout import Sheet, label_column, number_column

    columns = [
        (label_column if name in words else number_column)(name, [row[i] for row in rows])
        for i, name in enumerate(header)
    ]
    show_sheet(Sheet(columns))


def span(values: Sequence[int]) -> str:
    """Write some numbers by their ends: ``8…256 (6)``."""
    if len(values) < 2:
        return "".join(map(str, values))
    return f"{values[0]}…{values[-1]} ({len(values)})"


def size(count: int) -> str:
    """Write a number of bytes."""
    return f"{count / 2**20:,.1f} MiB"


@contextmanager
def piped() -> Iterator[None]:
    """Let stdout's reader go away early: the rest of what is printed goes nowhere."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # it stays open as long as the process


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
def bar(
    name: str, *, quiet: bool = False, learning: Path | None = None
) -> Iterator[OnProgress | None]:
    """Show a bar while the context lasts; yield what moves it, or None where there is no bar.

    Above it stand the nets that learn, as far as their states are kept in the folder `learning`.
    """
    if not _watched(quiet):
        yield None
        return
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[points]} points", markup=False),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    shown = Bar(*columns, console=console)
    task = shown.add_task(name, total=1.0, points="0")

    def move(progress: Progress) -> None:
        points = f"{progress.points}/{progress.total}"
        shown.update(task, completed=progress.share, points=points)

    def whole() -> Group:
        return Group(*([] if learning is None else _pulses(learning)), shown)

    with Live(get_renderable=whole, console=console, transient=True, refresh_per_second=2):
        yield move


def _pulses(folder: Path) -> Iterator[Table]:
    """A table of the nets that learn, if any do."""
    from rich.table import Table
    from rich.text import Text

    from gradflow.experiment.measure.seen import pulses

    found = pulses(folder)
    if found:
        table = Table("net", box=None, padding=(0, 1))
        names = ("length", "update", "learning", "loss", "far end", "sequences/s", "left")
        for column in names:
            table.add_column(column, justify="right")
        for one in found:
            table.add_row(
                Text(one.cell),
                f"{one.length:,}",
                f"{one.update:,}/{one.updates:,}",
                f"{one.learning}/{one.nets}",
                f"{one.loss:.3g}",
                f"10^{one.far:.1f}".replace("-", "−"),
                f"{one.speed:,.0f}",
                f"{one.left / 60:.0f} min" if one.left > 90 else f"{one.left:.0f} s",
            )
        yield table
