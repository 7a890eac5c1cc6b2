"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["Config", "Jobs", "Json", "Overrides", "Quiet", "Results", "RunName"]

Config: TypeAlias = Annotated[Path, typer.Argument(help="Experiment file.", show_default=False)]
Overrides: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Changes to it, e.g. model.hidden=64.", show_default=False
    ),
]
RunName: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN]", help="A run's name or folder; default: the latest.", show_default=False
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
