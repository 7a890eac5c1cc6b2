"""``gradflow verify``: how far each cell can be trusted."""

from __future__ import annotations

from typing import Annotated

import typer

from gradflow.cli.options import Json, Quiet
from gradflow.cli.progress import line
from gradflow.cli.screen import emit_json, show_sheet

__all__ = ["verify"]

REFUTED = 1


def verify(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CELL]...", help="Kinds of cells; default: all that are known."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Hold cells to the complex step, RTRL, closed forms and published vectors.

    Every variant of a kind is tried. Exit code 1 if one fails.
    """
    from gradflow.report.tables.trust import trust_data, trust_sheet
    from gradflow.testing.trust import known, trust

    rows = []
    with line("verify", quiet=quiet) as at:
        for kind in known(kinds or ()):
            at(kind)
            for row in trust(kind):
                rows.append(row)
                at(f"{row.cell}, {len(rows)} done")
    right = all(row.passed for row in rows)
    if as_json:
        emit_json(trust_data(rows))
    elif not (quiet and right):
        show_sheet(trust_sheet(rows))
    if not right:
        raise typer.Exit(REFUTED)
