"""Whether nets can learn as the section ``train`` asks, from what the other sections give."""

from __future__ import annotations

from gradflow.experiment.config.architecture import ModelConfig
from gradflow.experiment.config.by_kind import Inputs, LossConfig
from gradflow.experiment.config.fit import HAS, kinds_with
from gradflow.experiment.config.text.mistakes import Mistake, choices
from gradflow.experiment.config.train import TrainConfig

__all__ = ["check_train"]


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
