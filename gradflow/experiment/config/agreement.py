"""Sections against each other: whether they agree, and whether nets can learn from them."""

from __future__ import annotations

from pathlib import Path

from gradflow.experiment.config.architecture import ModelConfig
from gradflow.experiment.config.by_kind import FileInputs, Inputs, LossConfig
from gradflow.experiment.config.sections import InitConfig
from gradflow.experiment.config.text.mistakes import Mistake, choices
from gradflow.experiment.config.train import TrainConfig

__all__ = [
    "check_features", "check_init", "check_length", "check_loss", "check_train", "remark",
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


def check_train(
    train: TrainConfig,
    loss: LossConfig,
    inputs: Inputs,
    length: int,
    method: str,
    model: ModelConfig,
) -> None:
    """Raise a `Mistake` where the inputs cannot be learnt as asked."""
    _check_task(train, loss, inputs)
    _check_lengths(train, inputs, length, model)
    for name, value in (
        ("model.state", model.state),
        *((f"loss.{key}", getattr(loss, key)) for key in ("head", "targets", "path")),
    ):
        if value is not None:
            raise Mistake(
                f"nets that learn start from zero, and their targets are the inputs': {name} has "
                "no say",
                "train, or what is given by files",
                f"remove {name} or train",
                tuple(name.split(".")),
                on_key=True,
            )
    linear = not train.head.shortcut and train.head.activation == "identity"
    if loss.compares and not linear:
        raise Mistake(
            f"the loss {loss.kind} is measured through o = V h + b, and the head has more",
            "head: {bias: true or false}, or a loss that is measured apart from what is learnt",
            f"write loss: {{kind: probe}} and train.loss: {loss.kind}",
            ("train", "head"),
        )
    if method != "bptt":
        raise Mistake(
            f"nets that learn are measured by bptt, not by {method}",
            "method: bptt; what they learn by is train.gradient",
            "remove method",
            ("method",),
        )


def _check_task(train: TrainConfig, loss: LossConfig, inputs: Inputs) -> None:
    """Refuse what has no value to be learnt, no targets or no criterion."""
    kind, task, given = train.loss or loss.kind, inputs.task, inputs.task.target_kind
    if kind not in ("mse", "half_squares", "cross_entropy"):
        fix = "write train.loss: mse, or loss: {kind: mse}"
        raise Mistake(
            f"{kind} has no value to be learnt",
            "mse, half_squares or cross_entropy, in train.loss or loss.kind",
            fix if given == "values" else fix.replace("mse", "cross_entropy"),
            ("train", "loss") if train.loss else ("loss", "kind"),
        )
    if given == "none" or (kind == "cross_entropy" and given != "classes"):
        raise Mistake(
            f"{kind} learns from targets, and {inputs.kind} has {HAS[given]}",
            f"inputs with targets: {choices(kinds_with('values'))}",
            "",
            ("inputs", "kind"),
        )
    if train.until == "task" and task.criterion is None and "until" in train.model_fields_set:
        raise Mistake(
            f"no criterion was published for {inputs.kind}",
            "never, or a criterion of your own",
            "write until: never, or until: {within: 0.1, window: 1000}",
            ("train", "until"),
        )


def _check_lengths(train: TrainConfig, inputs: Inputs, length: int, model: ModelConfig) -> None:
    """Refuse lengths that the task or the net does not have."""
    task = inputs.task
    if train.lengths is not None and not task.shortest <= train.lengths[0] <= length:
        raise Mistake(
            f"{train.lengths[0]} steps are no length of {inputs.kind}",
            f"lengths from {task.shortest} to the length {length}",
            "",
            ("train", "lengths"),
        )
    if train.lengths is not None and train.lengths[1] > length:
        raise Mistake(
            f"sequences of {train.lengths[1]} steps are longer than the length {length}",
            f"at most {length}",
            f"write length: {train.lengths[1]}",
            ("train", "lengths"),
        )
    own = train.lengths is not None or inputs.own_lengths(length) is not None
    if own and model.backward:
        raise Mistake(
            "while nets learn, a backward direction would read what follows the end of sequences "
            "that have lengths of their own",
            "sequences of one length, or nets that read forward",
            "remove bidirectional, or lengths",
            ("train", "lengths") if train.lengths else ("model", "bidirectional"),
        )
