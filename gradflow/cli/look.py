"""``gradflow plot``, ``ls``, ``show``, ``export``, ``report``: what is stored, seen by turns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from gradflow.cli import complete
from gradflow.cli.screen import Json, Results, RunName, emit_json, piped, say, show_sheet

if TYPE_CHECKING:
    from gradflow.experiment.store.runs import Run

__all__ = ["export", "plot", "report", "show"]

Other: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="OTHER",
        help="A run to lay over it, named as for diff.",
        show_default=False,
        autocompletion=complete.runs,
    ),
]
KindOption: TypeAlias = Annotated[
    str,
    typer.Option(
        autocompletion=complete.kinds,
        help="What to draw: curves, length, slope, heatmap; where it was recorded flow, paths, "
        "contributions, gates, spectrum, theory, truncation; where nets learned training, "
        "learning, symptoms, success.",
    ),
]


def plot(
    run: RunName = None,
    other: Other = None,
    kind: KindOption = "curves",
    x: Annotated[str, typer.Option(metavar="lag|step", help="The curves' axis.")] = "lag",
    state: Annotated[str | None, typer.Option(help="One state; default: all of them.")] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="png,svg,pdf,gif",
            help="Kinds of file; default: png,svg, or --out's. Training can be a gif.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Folder or file; default: the run's plots/.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE,…", help="Draw these points alone, e.g. cell=lstm,gru."),
    ] = None,
    paper: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="icml|neurips|ieee|nature|slide", help="Widths and sizes of text."
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Above the panels.")] = None,
    notes: Annotated[bool, typer.Option(help="Write the small print.")] = True,
    view: Annotated[
        bool, typer.Option("--open", help="Show the first file in the system's viewer.")
    ] = False,
    results: Results = Path("results"),
) -> None:
    """Draw a run, or two over one another, and print the names of the files."""
    from gradflow.report import figures

    options: dict[str, Any] = {
        "state": state,
        "formats": None if formats is None else [one.strip() for one in formats.split(",")],
        "out": out,
        "where": where or (),
        "paper": paper,
        "title": title,
        "notes": notes,
    }
    if run is not None and other is not None:
        from gradflow.gate.sides import read_sides

        written = figures.overlay(*read_sides(run, other, results), kind, x, **options)
    else:
        written = figures.plot(_open(run, results), kind, x, **options)
    for path in written:
        typer.echo(path)
    if view and typer.launch(str(written[0])):
        say(f"nothing here can show {written[0]}")


def show(
    run: RunName = None,
    state: Annotated[str | None, typer.Option(help="Which norm: h, c, s, x.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every length, not the greatest alone.")] = (
        False
    ),
    quantity: Annotated[
        str | None, typer.Option(metavar="NAME", help="Any recorded quantity, e.g. path_share.")
    ] = None,
    results: Results = Path("results"),
    as_json: Json = False,
) -> None:
    """Show one run: its table, and what it was computed with; or one quantity by lag or gate."""
    from gradflow.report.read.explain import explain
    from gradflow.report.read.lessons import lessons
    from gradflow.report.read.predictions import predicted_and_measured
    from gradflow.report.read.rows import rows
    from gradflow.report.tables import beside
    from gradflow.report.tables.closing import closing_sheet, rows_data

    stored = _open(run, results)
    if quantity is not None:
        _show_quantity(stored, quantity, as_json)
        return
    found = rows(stored, state, every=every)
    theory = stored.recorded("theory")
    explained = explain(stored, state, every=every) if theory or stored.recorded("gates") else []
    compared = predicted_and_measured(stored, state) if theory else []
    taught = lessons(stored)
    if as_json:
        emit_json(
            {
                "name": stored.name,
                "path": str(stored.path),
                "points": len(stored.points),
                "missing": len(stored.missing),
                "created": stored.created,
                "updated": stored.updated,
                "environments": list(stored.environments),
                "rows": rows_data(found),
                "explanations": [one.sentence for one in explained],
                "predictions": beside.predictions_data(compared),
                "lessons": [f"{one.cell}: {one.sentence}" for one in taught],
            }
        )
        return
    show_sheet(closing_sheet(found, stored.name))
    show_sheet(beside.sentences(explained))
    if taught:
        show_sheet(beside.lesson_lines(taught))
    if compared:
        show_sheet(beside.predictions_sheet(compared))
    missing = f", {len(stored.missing)} missing" if stored.missing else ""
    say(f"{stored.path}: {len(stored.points)} points{missing}")
    say(f"  created {stored.created}, updated {stored.updated}")
    for environment in stored.environments:
        say("  " + ", ".join(f"{key} {_words(value)}" for key, value in environment.items()))


def _show_quantity(stored: Run, name: str, as_json: bool) -> None:
    from gradflow.report.read.digest import digest
    from gradflow.report.tables.beside import quantity_data, quantity_sheet

    found = digest(stored, name)
    if as_json:
        emit_json({"name": stored.name, **quantity_data(found)})
    else:
        show_sheet(quantity_sheet(found, stored.name))


def export(
    run: RunName = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="csv|csv.gz|parquet", help="Format; default: by the file's suffix."),
    ] = None,
    out: Annotated[str, typer.Option(metavar="FILE", help="Where to; - is stdout.")] = "-",
    results: Results = Path("results"),
) -> None:
    """Write a run as tidy rows, one for each norm."""
    from gradflow.report.export.write import export as write

    with piped():
        count = write(_open(run, results), to, out)
    if out != "-":
        say(f"{out}: {count} rows")


def report(
    run: RunName = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="File or folder; default: report.html in the run's."),
    ] = None,
    state: Annotated[str | None, typer.Option(help="Judge by this norm: h, c, s, x.")] = None,
    results: Results = Path("results"),
) -> None:
    """Write a run as one HTML file that opens anywhere, and print its name."""
    from gradflow.report.page import report as write

    typer.echo(write(_open(run, results), out, state=state))


def _open(run: str | None, results: Path) -> Run:
    from gradflow.experiment.store.runs import latest, open_run

    return latest(results) if run is None else open_run(run, results)


def _words(value: object) -> str:
    return "; ".join(value) if isinstance(value, list) else str(value)
