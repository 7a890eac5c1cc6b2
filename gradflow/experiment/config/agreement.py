"""Sections against each other: whether they agree."""

from __future__ import annotations

from pathlib import Path

from gradflow.experiment.config.architecture import ModelConfig
from gradflow.experiment.config.by_kind import FileInputs, Inputs, LossConfig
from gradflow.experiment.config.sections import InitConfig
from gradflow.experiment.config.text.mistakes import Mistake, choices

__all__ = [
    "HAS", "check_features", "check_init", "check_length", "check_loss", "kinds_with", "remark",
]  # fmt: skip

HAS = {
    "none": "no targets",
    "values": "numbers as targets",
    "classes": "classes as targets",
}
FROM_FILE = {"values": "numbers from a file", "classes": "a text from a file"}


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
    if inputs.task.targets_at == "last" and at != "all" and length not in at:
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
