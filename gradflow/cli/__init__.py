"""The command line: parse, call, print, exit code; no logic.

Nothing heavy is imported here or by the modules of this package: each command imports what it
needs when it is called, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from gradflow._version import __version__
from gradflow.cli.assess import advise, cost, verify
from gradflow.cli.files import init, inspect, schema, validate
from gradflow.cli.gate import baseline, check
from gradflow.cli.guard import guarded
from gradflow.cli.keep import diff, doctor, ls, mv, rm
from gradflow.cli.look import export, plot, report, show
from gradflow.cli.run import run

__all__ = ["EXAMPLES", "app", "main"]

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # nothing that a user writes is markup
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gradflow {__version__}")
        raise typer.Exit


@app.callback()
def gradflow(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Measure how error flows back through recurrent networks.

    Exit codes: 0 fine, 1 the gate found a regression or a cell is not right, 2 the input is wrong,
    3 a point failed, a damaged file or an internal error, 4 no baseline or nothing compared,
    130 interrupted (143 and 129: by SIGTERM and SIGHUP).
    """


EXAMPLES: dict[Callable[..., None], str] = {
    run: "run mine.yaml model.hidden=16",
    plot: "plot mine --kind length --state h --where cell=lstm,gru --out length.pdf",
    show: "show mine --quantity s",
    diff: "diff mine@cell=rnn @cell=lstm --format md",
    report: "report mine --out mine.html",
    export: "export mine --out mine.csv",
    ls: "ls --json",
    mv: "mv mine first",
    rm: "rm first --yes",
    doctor: "doctor mine",
    baseline: "baseline mine.yaml",
    check: "check mine.yaml -k gru --format junit",
    advise: "advise mine.yaml --plot advice.png",
    verify: "verify rnn cec",
    cost: "cost mine.yaml model.hidden=128",
    validate: "validate mine.yaml length=512",
    schema: "schema > gradflow.schema.json",
    init: "init mine.yaml",
    inspect: "inspect model.pt --write mine.yaml",
}
"""An example of each command, in the order in which they are listed."""

for command, example in EXAMPLES.items():
    app.command(epilog=f"Example: gradflow {example}")(guarded(command))


def main() -> None:
    """Run the command that the arguments name."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a name in another script is no reason to stop
    app(prog_name="gradflow")
