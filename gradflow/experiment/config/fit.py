"""Sections against each other and against the files that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradflow.errors import UserError
from gradflow.experiment.config.architecture import ModelConfig
from gradflow.experiment.config.by_kind import FileInputs, Inputs, LossConfig
from gradflow.experiment.config.cell import check_option
from gradflow.experiment.config.sections import InitConfig
from gradflow.experiment.config.text.mistakes import Mistake, choices, got

if TYPE_CHECKING:
    from gradflow.experiment.models.weights import Imported

__all__ = [
    "HAS",
    "cell_of",
    "check_features",
    "check_files",
    "check_init",
    "check_length",
    "check_loss",
    "check_path",
    "fit_file",
    "fit_weights",
    "remark",
]

HAS = {
    "none": "no targets",
    "values": "numbers as targets",
    "classes": "classes as targets",
}
FROM_FILE = {"values": "numbers from a file", "classes": "a text from a file"}


def check_path(text: str, suffixes: tuple[str, ...], at: tuple[str, ...]) -> None:
    """Raise a `Mistake` unless there is a file of a known format."""
    path = Path(text)
    expected = f"a file ending in {', '.join(suffixes)}"
    if path.is_dir():
        raise Mistake(f"{text} is a directory", expected, at=at)
    if not path.exists():
        raise Mistake(
            f"there is no file {text}",
            expected,
            "check the path; it starts at this file's folder",
            at,
        )
    if path.suffix.lower() not in suffixes:
        raise Mistake(f"{path.name} is of no format that is read here", expected, at=at)


def check_length(length: int | None, inputs: Inputs) -> int:
    """Return the length, or all the steps there are where none is given.

    Raises
    ------
    Mistake
        If the inputs have not as many steps, or the task needs more.
    """
    known = inputs.task.longest
    if length is None:
        if known is None:
            raise Mistake(
                f"length is missing: {inputs.kind} goes on for ever",
                "a whole number of at least 1",
                "add length: 128, or an axis length under sweep",
                ("length",),
            )
        return known
    if length < inputs.task.shortest:
        raise Mistake(
            f"{inputs.kind} makes no sense with {length} steps",
            f"at least {inputs.task.shortest} steps",
            f"write length: {inputs.task.shortest} or more",
            ("length",),
        )
    if known is not None and length > known:
        raise Mistake(
            f"{inputs.kind} has {known} steps only",
            f"at most {known} steps",
            "write a smaller length",
            ("length",),
        )
    return length


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


def check_features(model: ModelConfig, inputs: Inputs) -> None:
    """Raise a `Mistake` where imported weights read other inputs."""
    if model.reads is not None and model.reads != inputs.task.features:
        fix = f"write features: {model.reads} under inputs" if inputs.kind == "noise" else ""
        raise Mistake(
            f"the weights read {model.reads} features, {inputs.kind} has {inputs.task.features}",
            f"inputs with {model.reads} features",
            fix,
            ("model", "weights"),
        )


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


def check_loss(loss: LossConfig, inputs: Inputs, length: int) -> None:
    """Raise a `Mistake` where inputs have not what the loss needs."""
    wanted = "" if loss.targets is not None else loss.compares
    given = inputs.task.target_kind
    if wanted and given != wanted:
        other = {"values": "mse", "classes": "cross_entropy"}.get(given, "probe")
        raise Mistake(
            f"{loss.kind} needs {wanted} as targets, and {inputs.kind} has {HAS[given]}",
            f"inputs with {wanted}: {choices(kinds_with(wanted))}",
            f"write kind: {other}",
            ("loss", "kind"),
        )
    if wanted:
        _check_targets(loss, inputs, length)
    if isinstance(loss.at, tuple) and loss.at[-1] > length:
        raise Mistake(
            f"step {loss.at[-1]} lies beyond the length {length}",
            f"steps from 1 to {length}",
            "write last for the last step, whatever the length",
            ("loss", "at"),
        )


def remark(loss: LossConfig, inputs: Inputs, length: int) -> list[str]:
    """Say where sequences end before any step that has a loss."""
    own = inputs.own_lengths(length)
    if own is None or not isinstance(loss.at, tuple):
        return []
    without = int((own < loss.at[0]).sum())
    text = (
        f"warning: loss.at: {without} of {len(own)} sequences end before step {loss.at[0]}, and "
        "have no loss: their norms are exactly 0"
    )
    return [text] if without else []


def kinds_with(targets: str) -> tuple[str, ...]:
    """Every kind of inputs that has such targets."""
    from gradflow.experiment.data.sources import TASKS

    kinds = [kind for kind in TASKS.names() if TASKS.get(kind).target_kind == targets]
    return (*kinds, FROM_FILE[targets])


def _check_targets(loss: LossConfig, inputs: Inputs, length: int) -> None:
    """Refuse losses that meet no target, whose derivative would be 0 everywhere."""
    at = (length,) if loss.at in ("last", "ends") else loss.at
    if inputs.task.targets_at == "last" and length not in at and at != "all":
        raise Mistake(
            f"{inputs.kind} has its target at the last step only",
            "last",
            "write at: last",
            ("loss", "at"),
        )
    own = inputs.own_lengths(length)
    least = length if own is None else int(own.min())
    if isinstance(inputs, FileInputs) and inputs.ends and at == (length,):
        raise Mistake(
            "no step follows the file's last, so there is nothing to predict",
            "all, or steps before the last",
            f"write length: {least - 1}, or at: all" if least > 1 else "write at: all",
            ("loss", "at"),
        )


def _check_biases(init: InitConfig, model: ModelConfig) -> None:
    each = {gate: value for gate, value in init.bias.items() if isinstance(value, tuple)}
    parts = [part for cell in model.build_cells() for part in cell.parameters(1).values()]
    for part in parts if each else ():
        for gate, value in each.items() if part.role == "bias" else ():
            if gate in part.blocks and len(value) != part.rows:
                raise Mistake(
                    f"{len(value)} biases of {gate}, and the cell has {part.rows}",
                    f"one number, or {part.rows}",
                    "",
                    ("init", "bias", gate),
                )


def check_init(init: InitConfig, model: ModelConfig) -> None:
    """Raise a `Mistake` where `init` means nothing for the cell's weights, or all of them."""
    from gradflow.core.network.initialise import DIAGONAL

    if model.weights is not None and init.model_fields_set:
        name = min(init.model_fields_set)
        raise Mistake(
            f"init.{name} draws weights, and these come from {Path(model.weights).name}",
            "init, or model.weights",
            "remove one of the two; both may be tried with weights: [null, …] under sweep",
            ("init", name),
        )
    if model.weights is not None:
        return
    _check_biases(init, model)
    if init.peephole in DIAGONAL and init.like is None:
        return
    parts = [part for cell in model.build_cells() for part in cell.parameters(1).values()]
    peepholes = [part for part in parts if part.role == "peephole"]
    if init.like is not None and peepholes:
        raise Mistake(
            f"{init.like} has no layer with peepholes",
            "a cell that the framework has",
            "remove like, or peephole from the cell",
            ("init", "like"),
        )
    if init.peephole not in DIAGONAL and any(part.cols == 1 for part in peepholes):
        raise Mistake(
            f"{init.peephole} means nothing for a diagonal peephole",
            f"one of {', '.join(DIAGONAL)}",
            "write peephole: uniform",
            ("init", "peephole"),
        )
