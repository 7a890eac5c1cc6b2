"""Keys without effect: what is written, or swept, and changes nothing that is measured.

Whether a key of ``init`` matters to a cell is seen by drawing a small one's weights with it and
with another value in its place; so nothing here knows any cell, gate or key by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from gradflow.experiment.config.architecture import ModelConfig
from gradflow.experiment.config.cell import CellConfig
from gradflow.experiment.config.compose import Choice, Composer
from gradflow.experiment.config.fields import ChronoConfig
from gradflow.experiment.config.learnable import learnt_kinds
from gradflow.experiment.config.sections import InitConfig, PointConfig
from gradflow.experiment.config.text.mistakes import choices
from gradflow.experiment.config.train import TrainConfig, WindowConfig

if TYPE_CHECKING:  # an experiment file is read without NumPy
    from gradflow.core.typing import Params

__all__ = ["check_effects", "matters"]

Key: TypeAlias = tuple[str, ...]
SECTIONS = ("model", "init", "inputs", "loss", "train", "record")
KEYS: tuple[Key, ...] = (
    ("seed",), ("inputs", "seed"), ("inputs", "scale"), ("method",), ("train", "gradient"),
    ("train", "watch", "sequences"),
)  # fmt: skip


def matters(cell: CellConfig, init: InitConfig, key: Key) -> bool:
    """Whether a key of ``init`` changes any weight or bias of a cell.

    Parameters
    ----------
    cell : CellConfig
        The cell.
    init : InitConfig
        The whole section: a bias that is given by gate leaves the forget bias none to set.
    key : tuple of str
        The way to the key within the section, such as ``("bias", "f")``.
    """
    plain: dict[str, Any] = {n: 1.0 for n in type(init).model_fields if n.endswith("_gain")}
    # Whether a gate has a bias does not depend on how many units it is given for.
    plain["bias"] = {g: b[0] if isinstance(b, tuple) else b for g, b in init.bias.items()}
    return _matters(cell, init.model_copy(update=plain).model_dump_json(), key)


@cache
def _matters(cell: CellConfig, init: str, key: Key) -> bool:
    given = InitConfig.model_validate_json(init, strict=False)
    changed = _changed(given, key).model_dump_json()
    before, after = (_drawn(cell, one, 2, 3) for one in (init, changed))
    if before is None or after is None:
        return True
    return any((before[name] != after[name]).any() for name in before)


@cache
def _drawn(cell: CellConfig, init: str, hidden: int, inputs: int) -> Params | None:
    """Draw a small net; None where a scheme means nothing there: another check says so."""
    from gradflow.core.network.initialise import draw_parameters

    given = InitConfig.model_validate_json(init, strict=False)
    try:
        return draw_parameters(cell.build(hidden), inputs, given.build(), 0, 0, "forward")
    except ValueError:
        return None


def _changed(init: InitConfig, key: Key) -> InitConfig:
    """The section with another value at a key."""
    name = key[0]
    value = getattr(init, name)
    if name == "bias":
        return init.model_copy(update={name: {**value, key[1]: value.get(key[1], 0.0) + 1.0}})
    if isinstance(value, ChronoConfig):
        return init.model_copy(update={name: ChronoConfig(chrono=value.chrono + 1)})
    forms = get_args(type(init).model_fields[name].annotation)  # the words, or they and None
    words = [word for form in forms for word in get_args(form) or (form,)]
    others = [word for word in words if isinstance(word, str) and word not in (value, "glorot")]
    return init.model_copy(update={name: others[0] if others else (value or 0.0) + 1.0})


def _twins(composer: Composer) -> Iterator[str]:
    """Say which cells of a sweep are one net under two names: what sets them apart is drawn as 0.

    Nets that learn, or are imported, are not drawn alone.
    """
    if not any(axis.path[:2] == ("model", "cell") for axis in composer.axes):
        return
    alike: dict[tuple[str, bytes], dict[str, None]] = {}
    seen: set[tuple[int, ...]] = set()
    for choice in composer.choices(seeds=False):
        model, init, train = (composer.section(name, choice) for name in ("model", "init", "train"))
        if (forms := (id(model), id(init), id(train))) in seen:
            continue
        seen.add(forms)
        if train is None and model.weights is None and isinstance(model.layers, int):
            drawn = init.model_dump_json()
            alike.setdefault((drawn, _does(model.cell, drawn)), {})[model.cell.label] = None
    for names in {tuple(one): None for one in alike.values() if len(one) > 1}:
        yield (
            f"warning: {choices(names, 'and')} are the same net here: what sets them apart is "
            "drawn as 0, so all their norms are the same"
        )


@cache
def _does(cell: CellConfig, init: str) -> bytes:
    """What one step of a small net of such a cell makes of a state, there and back."""
    import numpy as np

    small, rng = cell.build(3), np.random.default_rng(0)
    alone, p = repr(cell).encode(), _drawn(cell, init, 3, 2)
    if p is None:
        return alone
    nets = {name: array[None] for name, array in p.items()}
    state = tuple(rng.standard_normal((1, size, 8)) for size in small.sizes)
    with np.errstate(all="ignore"):
        after, cache = small.step(nets, state, small.drive(nets, rng.standard_normal((1, 2, 8))))
        before, *_ = small.step_vjp(nets, small.linearise(nets, cache), state)
    found = [part.tolist() for part in (*after, *before)]
    finite = all(np.isfinite(part).all() for part in found)  # beyond the range all is alike
    return repr((small.kind, found)).encode() if finite else alone


def check_effects(composer: Composer) -> None:
    """Refuse axes that change nothing at all; note what changes nothing at some points.

    Raises
    ------
    ConfigError
        At an axis along which all rows would be the same.
    """
    composer.notes |= dict.fromkeys(_twins(composer))
    written = dict.fromkeys(_written(composer))
    swept = {axis.path: axis for axis in composer.axes if len(axis.values) > 1}
    useful: dict[Key, set[str]] = {key: set() for key in written}
    useless: dict[Key, dict[str, list[str]]] = {key: {} for key in written}
    seen: set[tuple[Any, ...]] = set()
    for choice in composer.choices(seeds=False) if written else ():
        point = composer.point(choice)
        forms = (*(id(getattr(point, name)) for name in SECTIONS), point.method, point.length)
        if forms in seen:
            continue
        seen.add(forms)
        for key in written:
            if useful[key] and key not in swept:
                continue  # it matters somewhere, which is all that is asked of it
            what, why = _without(key, point)
            if why:
                useless[key].setdefault(what, []).append(why)
            else:
                useful[key].add(what)
    for key, found in useless.items():
        path, axis = ".".join(key), swept.get(key)
        if axis is not None and useful[key]:  # one value that matters stands apart from one other
            found = {w: why for w, why in found.items() if len(why) > 1 or w not in useful[key]}
        if not found or (axis is None and useful[key]):
            continue
        text = f"{path} has no effect on {choices(found, 'and')}: {next(iter(found.values()))[0]}"
        if axis is None:
            composer.notes[f"warning: {text}"] = None
        elif useful[key]:
            composer.notes[f"warning: {text}; there, rows along it are the same"] = None
        else:
            raise axis.place.error(
                f"{text}, so all its rows would be the same",
                key=f"sweep.{axis.key}",
                expected="an axis along which something changes",
                fix=f"remove {path} from the sweep",
            )


def _without(key: Key, point: PointConfig) -> tuple[str, str]:
    """On what a key has an effect at a point, and why it has none; empty if it has."""
    model, init, inputs, loss = point.model, point.init, point.inputs, point.loss
    imported = f"its weights come from {model.weights}" if model.weights is not None else ""
    if key[0] == "train":
        return _untaught(key, point, point.train) if point.train else (model.cell_label, "")
    if key == ("method",):
        cut = point.method != "rtrl" and _all_carrousel(model)
        return model.cell_label, "it is all carrousel" * cut
    if key == ("inputs", "seed") and not inputs.task.seeded:
        return inputs.kind, "it is the same for every seed"
    if key[0] == "inputs":
        return model.cell_label, _unread(point)
    if key == ("seed",):
        return model.cell_label, "" if loss.draws else imported
    drawn = any(matters(cell, init, key[1:]) for cell in model.cells)
    if imported or init.like is not None or drawn:
        return model.cell_label, imported
    return model.cell_label, "none of its weights and biases is drawn by it"


def _untaught(key: Key, point: PointConfig, train: TrainConfig) -> tuple[str, str]:
    """The same of a key of ``train``."""
    model, inputs, gradient, rate = point.model, point.inputs, train.gradient, train.optimiser.rate
    if key[1] == "gradient":
        exact = gradient == "exact" or (
            gradient.k2 >= point.length
            if isinstance(gradient, WindowConfig)
            else _all_carrousel(model)
        )
        return f"{model.cell_label} at length {point.length}", "it is the exact one" * exact
    if key[1] == "watch":
        few = train.watch.sequences > inputs.sequences
        return inputs.kind, f"all its {inputs.sequences} sequences are looked at" * few
    kinds = learnt_kinds(train, inputs, model)
    none = isinstance(rate, dict) and key[-1] in rate and key[-1] not in kinds
    return model.cell_label, f"its parameters are {', '.join(kinds)}" * none


def _all_carrousel(model: ModelConfig) -> bool:
    """Whether nothing but the carrousel takes error back: no gate or candidate reads the state."""
    parts = [part for cell in model.build_cells() for part in cell.parameters(1).values()]
    return all(part.role in ("input", "bias") for part in parts)


def _unread(point: PointConfig) -> str:
    """Why what a net reads changes nothing that is measured; empty if it does."""
    blind = {"paths", "flow_map", "spectrum", "cost"}
    if point.train or point.loss.compares or not {r.name for r in point.record.asked} <= blind:
        return ""
    return "its derivatives are the same whatever it reads" * all(map(_linear, point.model.cells))


@cache
def _linear(cell: CellConfig) -> bool:
    """Whether one step's derivative is the same at any state and input."""
    import numpy as np

    from gradflow.core.network.initialise import Init, draw_parameters

    small, rng = cell.build(3), np.random.default_rng(0)
    p = draw_parameters(small, 2, Init(), 0, 0, "forward")
    nets = {name: array[None] for name, array in p.items()}
    dstate = tuple(rng.standard_normal((1, size, 1)) for size in small.sizes)
    found = []
    for size in (0.1, 1.0):
        state = tuple(size * rng.standard_normal(part.shape) for part in dstate)
        x = size * rng.standard_normal((1, 2, 1))
        _, cache = small.step(nets, state, small.drive(nets, x))
        before, *_ = small.step_vjp(nets, small.linearise(nets, cache), dstate)
        found.append([part.tolist() for part in before])
    return found[0] == found[1]


def _written(composer: Composer) -> Iterator[Key]:
    """Keys that may change nothing and that the file sweeps, or sets to other than their defaults.

    Those of ``init`` draw something, and so does a seed.
    """
    for axis in composer.axes:
        if axis.path in KEYS or (axis.path[0] == "init" and axis.path != ("init", "bias")):
            yield axis.path
    first: Choice = (0,) * len(composer.axes)
    init, inputs = composer.section("init", first), composer.section("inputs", first)
    for name in sorted(init.model_fields_set - {"like"}):
        if name == "bias":
            yield from (("init", "bias", gate) for gate in init.bias)
        elif getattr(init, name) != type(init).model_fields[name].default:
            yield "init", name
    for name in ("seed", "scale"):
        field = type(inputs).model_fields.get(name)
        if field is not None and getattr(inputs, name) != field.default:
            yield "inputs", name
    if composer.section("method", first) == "carrousel":
        yield ("method",)
    train = composer.section("train", first)
    if train is not None:
        rate = train.optimiser.rate if isinstance(train.optimiser.rate, dict) else {}
        yield from (("train", "optimiser", "rate", name) for name in rate)
        if train.gradient != "exact":
            yield "train", "gradient"
        if "sequences" in train.watch.model_fields_set:
            yield "train", "watch", "sequences"
