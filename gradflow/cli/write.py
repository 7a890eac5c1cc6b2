"""``gradflow validate``, ``schema`` and ``init``: experiment files, without computing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradflow.cli.options import Config, Overrides, Quiet
from gradflow.cli.screen import emit, emit_json, read_experiment, say
from gradflow.errors import UserError

__all__ = ["create", "init", "schema", "validate"]


def validate(config: Config, overrides: Overrides = None, quiet: Quiet = False) -> None:
    """Say whether an experiment file is right, without running it."""
    from gradflow.experiment.measure.plan import plan

    experiment = read_experiment(config, overrides, quiet=quiet)
    if not quiet:
        say(f"{config}: fine, {len(plan(experiment))} points")


def schema() -> None:
    """Print the JSON Schema of experiment files, which editors complete from."""
    from gradflow.experiment.config import schema as describe

    emit_json(describe())


def init(
    file: Annotated[Path, typer.Argument(help="The file to write; - is stdout.")] = Path(
        "experiment.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Write an experiment file to start from."""
    from gradflow.experiment.config.starter import STARTER

    create(file, STARTER, force=force)


def create(file: Path, text: str, *, force: bool) -> None:
    """Write an experiment file; - is stdout.

    Raises
    ------
    UserError
        If it is there already, or cannot be written.
    """
    if str(file) == "-":
        emit(text)
        return
    try:
        with file.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise UserError(f"{file} is there already\n  fix: another name, or --force") from error
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}") from error
    say(f"wrote {file}; next: gradflow run {file}")
