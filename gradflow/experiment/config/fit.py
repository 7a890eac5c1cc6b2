"""Sections against the files that they name, and what follows from these."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradflow.errors import UserError
from gradflow.experiment.config.architecture import ModelConfig
from gradflow.experiment.config.by_kind import FileInputs, Inputs, LossConfig
from gradflow.experiment.config.cell import check_option
from gradflow.experiment.config.text.mistakes import Mistake, choices, got

if TYPE_CHECKING:
    from gradflow.experiment.models.weights import Imported

__all__ = [
    "cell_of",
    "check_files",
    "check_path",
    "fit_file",
    "fit_weights",
]


def check_path(text: str, suffixes: tuple[str, ...], at: tuple[str, ...]) -> None:
    """Raise a `Mistake` unless there is a file of a known format."""
    path = Path(text)
    expected = f"a file ending in {', '.join(suffixes)}"
    try:
        folder, there = path.is_dir(), path.exists()
    except OSError as error:  # a name too long for any file, a folder that may not be looked into
        raise Mistake(f"there is no such file ({error.strerror})", expected, at=at) from None
    if folder:
        raise Mistake(f"{text} is a directory", expected, at=at)
    if not there:
        raise Mistake(
            f"there is no file {text}",
            expected,
            "check the path; it starts at this file's folder",
            at,
        )
    if path.suffix.lower() not in suffixes:
        raise Mistake(f"{path.name} is of no format that is read here", expected, at=at)


def fit_file(inputs: FileInputs, length: int | None, model: ModelConfig) -> FileInputs:
    """Read the inputs' file and return the section with what is known then.

    Raises
    ------
    Mistake
        If it cannot be read, or has too few steps or sequences.
    """
    from gradflow.experiment.data.sources import open_inputs

    if inputs.embedding is not None:
        if model.weights is None:
            raise Mistake(
                "an embedding stands in the file of model.weights, and there is none",
                "the checkpoint that the net and the embedding come from",
                "add model.weights, or remove embedding",
                ("inputs", "embedding"),
            )
        if inputs.columns is not None:
            raise Mistake(
                "tokens have no columns", "embedding, or columns", "remove columns",
                ("inputs", "columns"), on_key=True,
            )  # fmt: skip
        inputs = inputs.looked_up_in(model.weights)
    try:
        contents = open_inputs(inputs)
        batch = contents.batch(length, inputs.sequences)
    except UserError as error:
        raise from_file(error, ("inputs", "path")) from None
    return inputs.known(batch, contents.notes())


def cell_of(weights: str, names: dict[str, str]) -> str:
    """Return the kind of cell that weights belong to.

    Raises
    ------
    Mistake
        If the file cannot be read.
    """
    return _imported(weights, names=names).kind


def _imported(weights: str, **asked: Any) -> Imported:
    from gradflow.experiment.models import opening
    from gradflow.experiment.models.weights import apart, read_weights

    check_path(str(apart(weights)[0]), opening.SUFFIXES, ("weights",))
    try:
        return read_weights(weights, **asked)
    except UserError as error:
        raise from_file(error, ("weights",)) from None


def fit_weights(model: ModelConfig, written: Any) -> ModelConfig:
    """Return the section with the sizes and options that the weights' file decides.

    Parameters
    ----------
    model : ModelConfig
        The section.
    written : object
        The cell as it stands in the file: an option that is written at its default counts, too.

    Raises
    ------
    Mistake
        If the file cannot be read or contradicts what the section says.
    """
    assert model.weights is not None
    kind, options = model.cell.kind, model.cell.options
    for name in set(written) - {"kind", *options} if isinstance(written, dict) else ():
        options[name] = check_option(kind, name, written[name])
    net = _imported(model.weights, kind=kind, options=options, names=model.names)
    for name in ("hidden", "layers", "bidirectional"):
        asked, has = getattr(model, name), getattr(net, name)
        if name in model.model_fields_set and asked != has:
            raise Mistake(
                f"{got(asked)}, but the weights have {got(has)}",
                f"{got(has)}, as in {model.weights}",
                f"remove {name}: it follows from the file",
                (name,),
            )
    return model.known(net, options)


def from_file(error: UserError, at: tuple[str, ...]) -> Mistake:
    """Turn the error of a reader, of the same form, into a mistake at a key."""
    problem, *notes = str(error).splitlines()
    found = dict(note.strip().partition(": ")[::2] for note in notes)
    return Mistake(problem, found.get("expected", ""), found.get("fix", ""), at)


def check_files(loss: LossConfig, inputs: Inputs, length: int, model: ModelConfig) -> None:
    """Raise a `Mistake` where the initial states, or what the loss reads, do not fit."""
    from gradflow.experiment.models.companions import read_answers, read_states

    net, columns = model.build(inputs.task.features), inputs.sequences
    top = net.layers[-1].cell
    if loss.of not in top.parts:
        raise Mistake(
            f"{top.label} has no {loss.of} to look at", choices(top.parts), "", ("loss", "of")
        )
    if loss.of != "h" and loss.at != "ends":
        raise Mistake(
            f"a loss on {loss.of} looks at the end of the state",
            "at: ends",
            "write at: ends",
            ("loss", "at"),
        )
    if loss.head is not None and model.weights is None:
        raise Mistake(
            "a head stands in the file of model.weights, and there is none",
            "the checkpoint that the net and the head come from",
            "add model.weights, or remove head",
            ("loss", "head"),
        )
    for name in ("path", "targets"):
        if path := getattr(loss, name):
            check_path(path, (".npy", ".npz"), ("loss", name))
    named = next((n for n in ("path", "targets", "head") if getattr(loss, n) is not None), "kind")
    if model.state is None and model.begins not in (0, 1, columns):
        raise Mistake(
            f"the file has initial states of {model.begins} sequences, the inputs have {columns}",
            f"{model.begins} sequences",
            f"write sequences: {model.begins} under inputs, or model.state",
            ("model", "weights"),
        )
    at: tuple[str, ...] = ("model", "state")
    try:
        if model.state is not None:
            check_path(model.state, (".npz",), at)
            read_states(Path(model.state), net, columns)
        at = ("loss", named)
        read_answers(loss, model.weights, net, length, columns, inputs.own_lengths(length))
    except UserError as error:
        raise from_file(error, at) from None
