"""Whether nets can learn as the section ``train`` says, from what the other sections say."""

from __future__ import annotations

from gradflow.experiment.config.agreement import HAS, kinds_with
from gradflow.experiment.config.architecture import ModelConfig
from gradflow.experiment.config.by_kind import Inputs, LossConfig
from gradflow.experiment.config.text.mistakes import Mistake, choices
from gradflow.experiment.config.train import TrainConfig, UntilConfig, WindowConfig

__all__ = ["check_train", "learnt_kinds"]


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
    _check_until(train, inputs)
    _check_lengths(train, inputs, length, model)
    _check_net(train, inputs, model)
    _check_directions(train, loss, model)
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
    kind, given = train.loss or loss.kind, inputs.task.target_kind
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


def _check_until(train: TrainConfig, inputs: Inputs) -> None:
    """Refuse a criterion that the task does not have, or that means nothing for its targets."""
    task, until = inputs.task, train.until
    if until == "task" and task.criterion is None and "until" in train.model_fields_set:
        raise Mistake(
            f"no criterion was published for {inputs.kind}",
            "never, or a criterion of your own",
            "write until: never, or until: {within: 0.1, window: 1000}",
            ("train", "until"),
        )
    if isinstance(until, UntilConfig) and until.within is None and not task.told_apart:
        raise Mistake(
            f"{inputs.kind} asks for numbers, of which none is right but for an error",
            "within: the largest error of an answer that is right",
            "add for instance within: 0.1",
            ("train", "until"),
        )


def _check_net(train: TrainConfig, inputs: Inputs, model: ModelConfig) -> None:
    """Refuse a rate that is missing, and a carrousel where a cell has none."""
    from gradflow.core.cells.base import carrousel_of

    net, rate = model.build(inputs.task.features), train.optimiser.rate
    if isinstance(rate, dict):
        kinds = learnt_kinds(train, inputs, model)
        for name in kinds:
            if name not in rate:
                raise Mistake(
                    f"the net's {name} have no rate",
                    f"one for each of {', '.join(kinds)}",
                    f"add {name}: {max(rate.values())}, or 0 for what is not to learn",
                    ("train", "optimiser", "rate"),
                )
    if train.gradient == "carrousel":
        try:
            net.where(carrousel_of)
        except ValueError as error:
            raise Mistake(
                str(error), "exact, or {k1: …, k2: …}", "write exact", ("train", "gradient")
            ) from None


def _check_directions(train: TrainConfig, loss: LossConfig, model: ModelConfig) -> None:
    """Refuse a loss that is not the one that is learnt, and windows that go one way in time."""
    if loss.compares and loss.of != "h":
        raise Mistake(
            f"nets learn from h, and this loss looks of: {loss.of}",
            "of: h",
            "write of: h",
            ("loss", "of"),
        )
    if isinstance(train.gradient, WindowConfig) and model.backward:
        raise Mistake(
            "truncated BPTT follows a stream forward, in one direction",
            "exact or carrousel, or nets that read forward",
            "write exact",
            ("train", "gradient"),
        )


def learnt_kinds(train: TrainConfig, inputs: Inputs, model: ModelConfig) -> list[str]:
    """The kinds of parameters that learn, readout included."""
    from gradflow.core.learning.parameters import Layout
    from gradflow.core.network.readout import Head

    head = Head(1, train.head.bias, train.head.shortcut)
    return list(Layout(model.build(inputs.task.features), head).kinds)


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
