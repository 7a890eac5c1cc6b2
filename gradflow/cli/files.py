"""``gradflow validate``, ``schema``, ``init``, ``inspect``: experiment files, without computing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradflow.cli.screen import (
    Config,
    Json,
    Quiet,
    Words,
    emit,
    emit_json,
    files_and_changes,
    grid,
    read_experiment,
    say,
)
from gradflow.errors import GradflowError, UserError, typed

if TYPE_CHECKING:
    from gradflow.experiment.models.inspection import Inspected

__all__ = ["create", "init", "inspect", "schema", "validate"]


def validate(
    config: Config,
    words: Words = None,
    quiet: Quiet = False,
) -> None:
    """Say whether experiment files are right, without running them."""
    from gradflow.experiment.measure.plan import plan

    files, overrides = files_and_changes(config, words)
    wrong = 0
    for file in files:
        try:
            experiment = read_experiment(file, overrides, quiet=quiet)
            points = len(plan(experiment))
        except GradflowError as error:
            if len(files) == 1:
                raise
            say(f"gradflow: {error}")
            wrong = max(wrong, error.exit_code)
        else:
            if not quiet:
                say(f"{file}: fine, {points} points")
    if wrong:
        raise typer.Exit(wrong)


def schema(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Every key as a page to read instead.")
    ] = False,
) -> None:
    """Print the JSON Schema of experiment files, which editors complete from."""
    if markdown:
        from gradflow.experiment.config.describe import keys_page

        emit(keys_page())
        return
    from gradflow.experiment.config import schema as describe

    emit_json(describe())


def init(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file to write; - is stdout.")
    ] = Path("experiment.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Write an experiment file to start from."""
    from gradflow.experiment.config.dump import STARTER

    create(file, STARTER, force=force)


def create(file: Path, text: str, *, force: bool) -> None:
    """Write an experiment file; - is stdout.

    Raises
    ------
    UserError
        If it is there already.
    """
    if str(file) == "-":
        emit(text)
        return
    _put(file, text.encode(), force=force)
    say(f"wrote {file}; next: gradflow run {typed(file)}")


def _put(file: Path, data: bytes, *, force: bool) -> None:
    try:
        with file.open("wb" if force else "xb") as stream:
            stream.write(data)
    except FileExistsError as error:
        raise UserError(f"{file} is there already\n  fix: another name, or --force") from error


SHOWN = 8
"""How many names of other tensors are printed."""


def inspect(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A checkpoint, or FILE#NET.", show_default=False),
    ],
    write: Annotated[
        Path | None,
        typer.Option(
            "--write",
            metavar="FILE",
            help="Write the experiment that measures it; or, as .npz or .safetensors, the net.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace that file.")] = False,
    as_json: Json = False,
) -> None:
    """Show the recurrent nets in a checkpoint, and the experiment that measures each."""
    from gradflow.experiment.models import inspection

    found = inspection.inspect(file)
    if write is not None and write.suffix in (".npz", ".safetensors"):
        _write_net(found, write, force=force)
    elif write is not None:
        create(write, inspection.experiment(found, write), force=force)
    elif as_json:
        emit_json(found.as_json())
    else:
        _show(found)


def _write_net(found: Inspected, file: Path, *, force: bool) -> None:
    from gradflow.experiment.models.inspection import net_tensors
    from gradflow.experiment.models.written import packed

    tensors = net_tensors(found, file)
    _put(file, packed(tensors, file.suffix), force=force)
    say(f"wrote {file}: {', '.join(tensors)}")


def _show(found: Inspected) -> None:
    from gradflow.experiment.models.inspection import experiment_text

    rows = [
        (
            net.prefix or "—",
            layer.kind,
            str(layer.inputs),
            str(layer.hidden),
            "both" if layer.directions == 2 else "forward",
            ", ".join(f"{name}: {value}" for name, value in layer.options.items()) or "—",
        )
        for net in found.nets
        for layer in net.layers
    ]
    if rows:
        header = ("net", "cell", "reads", "hidden", "direction", "options")
        grid(header, rows, ("net", "cell", "direction", "options"))
    for one in found.near:
        emit(f"{one.kind} {one.prefix}: {one.rows} × {one.cols}\n")
    if found.rest:
        more = f", … and {len(found.rest) - SHOWN} more" if len(found.rest) > SHOWN else ""
        emit(f"not recognised: {', '.join(found.rest[:SHOWN])}{more}\n")
    for names in found.names:
        lines = ", ".join(f"{ours}: {theirs}" for ours, theirs in names.items())
        emit(f"perhaps a net, with this under model: names: {{{lines}}}\n")
    for net in found.nets:
        for words in (*net.notes, *((net.problem,) if net.problem else ())):
            say(f"{net.prefix or found.path.name}: {words}")
        if not net.problem:
            emit(f"\n{experiment_text(found, net, Path('mine.yaml'))}")
    if not found.nets:
        say(f"{found.path}: no recurrent network was found")
