"""Every derivative of the engine agrees with the complex step, however small it is.

‖g − ref‖ ≤ 1e-10·‖ref‖ at every step, with no absolute term: one would pass every wrong gradient
that has vanished.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.core.cells import CEC, GRU, LSTM, RNN, Cell
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import At, CrossEntropy, Loss, MeanSquaredError, Probe, Sum
from gradflow.core.network.readout import Readout
from gradflow.core.network.stack import Layer, Network, Weights
from gradflow.core.record import Adjoints, Gradients, Norms, Timeline
from tests import reference
from tests.variants import draw, in_turn, usual_first, with_projections

H, F, STEPS, NETS, COLUMNS = 3, 2, 6, 2, 2
NET, COLUMN = 1, 1
"""Those that are compared; the others must not leak into them."""
SHAPES = [(layers, both) for layers in (1, 2, 3) for both in (False, True)]
TOLERANCE = 1e-10

Array = np.ndarray[Any, Any]


def agree(found: Array, wanted: Array, what: object) -> None:
    error = np.linalg.norm(found - wanted)
    assert error <= TOLERANCE * np.linalg.norm(wanted), (what, error, wanted)


def reference_loss(loss: Loss, net: int, column: int, steps: int) -> reference.Loss:
    """The same loss of one sequence, on outputs (steps, runs, features)."""
    at = {"all": range(1, steps + 1)}.get(loss.at, [steps] if loss.at == "last" else loss.at)
    chosen = [step - 1 for step in at]
    targets = None
    if loss.targets is not None:
        targets = loss.targets[:, 0, ..., column]

    def total(y: Array) -> Array:
        return sum(one(y[t], t) for t in chosen)

    def one(y: Array, t: int) -> Array:
        if loss.kind == "sum":
            return y.sum(axis=-1)
        if loss.kind == "probe":
            return y @ loss.direction[net, :, column]
        z = y @ loss.readout.V[net].T
        if loss.kind == "mse":
            wanted = ~np.isnan(targets[t])
            return ((z - targets[t])[:, wanted] ** 2).sum(axis=-1) / z.shape[-1]
        if targets[t] < 0:
            return np.zeros(len(y))
        return np.log(np.exp(z).sum(axis=-1)) - z[:, targets[t]]

    return total


def run(
    net: Network, weights: Weights, x: Array, loss: Loss, block: int = 4
) -> tuple[Adjoints, Gradients, Norms]:
    """The engine's cotangents, parameter gradients and norms, in blocks shorter than time."""
    vectors, gradients = Adjoints(net, inputs=True), Gradients(net)
    norms = Norms(Timeline(net, loss, [len(x)], NETS, x.shape[-1]), ["h", "c", "s", "x"])
    observers = [vectors, gradients, norms]
    backpropagate(net, weights, x, loss, [len(x)], observers, Schedule(block))
    return vectors, gradients, norms


def check(net: Network, weights: Weights, x: Array, losses: list[Loss]) -> list[Norms]:
    """Hold a run for each of the losses to the reference: states and x of one sequence in one net,
    parameters of the net over all its sequences.
    """
    stack, steps = [layer.cell for layer in net.layers], len(x)
    runs = [run(net, weights, x, loss) for loss in losses]
    own = [[{k: a[NET] for k, a in p.items()} for p in layer] for layer in weights]

    def against(gradients: Callable[..., list[Any]], column: int, *rest: Any) -> list[Any]:
        ends = [reference_loss(loss, NET, column, steps) for loss in losses]
        return gradients(stack, own, x[:, 0, :, column], ends, *rest)

    wanted = against(reference.state_gradients, COLUMN)
    for (vectors, _, norms), ref in zip(runs, wanted, strict=True):
        compare_states(vectors, norms, ref)
    each = [against(reference.parameter_gradients, column) for column in range(COLUMNS)]
    for j, (_, gradients, _) in enumerate(runs):
        assert set(gradients.sums) == set(each[0][j])
        for place, total in gradients.sums.items():
            agree(total.plain[NET], sum(ref[j][place] for ref in each), place)
    return [norms for _, _, norms in runs]


def compare_states(vectors: Adjoints, norms: Norms, ref: dict[Any, Array]) -> None:
    for (what, layer, direction), steps in ref.items():
        if what == "x":
            found = [vectors.x[k + 1].plain[NET, :, COLUMN] for k in range(len(steps))]
        else:
            name = "carried_c" if what == "s_c" else what
            found = [
                vectors.of(name, layer, direction, k).plain[NET, :, COLUMN]
                for k in range(len(steps))
            ]
        for k, (got, wanted) in enumerate(zip(found, steps, strict=True)):
            agree(got, wanted, (what, layer, direction, k))
    compare_norms(norms, ref)


def compare_norms(norms: Norms, ref: dict[Any, Array], length: int = 0) -> None:
    """The logarithms, to the same relative precision; `length` counts those that ran together."""
    for what, layer, direction in ref:
        if what == "s_c":
            continue
        wanted = ref[what, layer, direction]
        series = {what: wanted}
        if what == "h":
            carried = [ref[key] for key in [("s_c", layer, direction)] if key in ref]
            series["s"] = np.hstack([wanted, *carried])
        for name, rows in series.items():
            with np.errstate(divide="ignore"):
                logs = np.log10(np.linalg.norm(rows, axis=1))
            values = norms.series[name].values[length][NET]
            found = values[norms.series[name].layers.index(layer), direction, COLUMN]
            np.testing.assert_array_equal(found == -np.inf, logs == -np.inf)
            finite = np.isfinite(logs)
            error = np.abs(found[finite] - logs[finite])
            assert (error <= TOLERANCE / np.log(10)).all(), (name, layer, direction, error)


def inputs(rng: np.random.Generator, steps: int = STEPS) -> Array:
    return rng.normal(size=(steps, 1, F, COLUMNS))


def probe(rng: np.random.Generator, net: Network, at: At) -> Loss:
    v = rng.normal(size=(NETS, net.outputs, COLUMNS))
    return Probe(v / np.linalg.norm(v, axis=1, keepdims=True), at=at)


@pytest.mark.parametrize(("cell", "shape"), in_turn(with_projections(H), SHAPES))
def test_state_input_and_parameter_gradients(cell: Cell, shape: tuple[int, bool]):
    layers, both = shape
    rng = np.random.default_rng(layers)
    net = Network.of(cell, F, layers, both)
    directions = len(net.directions)
    weights = draw(cell, rng, inputs=F, layers=layers, directions=directions, nets=NETS)
    check(net, weights, inputs(rng), [probe(rng, net, "last"), probe(rng, net, "all")])


def losses_of_all_kinds(rng: np.random.Generator, net: Network, at: At) -> list[Loss]:
    rows = 4
    readout = rng.normal(size=(NETS, rows, net.outputs))
    values = rng.normal(size=(STEPS, 1, rows, COLUMNS))
    values[1, 0, 2, COLUMN] = np.nan
    classes = rng.integers(rows, size=(STEPS, 1, COLUMNS))
    classes[2, 0, COLUMN] = -1
    return [
        probe(rng, net, at),
        Sum(at=at),
        MeanSquaredError(readout=Readout(readout), targets=values, at=at),
        CrossEntropy(readout=Readout(readout), targets=classes, at=at),
    ]


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("at", ["last", "all", (2, 3, 5)], ids=str)
@pytest.mark.parametrize("kind", cells.names())
def test_every_loss(kind: str, at: At, both: bool):
    rng = np.random.default_rng(7)
    cell = cells.get(kind)(H)
    net = Network.of(cell, F, 2, both)
    ways = len(net.directions)
    weights = draw(cell, rng, inputs=F, layers=2, directions=ways, nets=NETS, gain=0.7)
    check(net, weights, inputs(rng), losses_of_all_kinds(rng, net, at))


def draw_each(net: Network, rng: np.random.Generator) -> Weights:
    """Weights of a stack whose layers differ."""
    return tuple(
        draw(layer.cell, rng, inputs=size, directions=len(layer.directions), nets=NETS)[0]
        for layer, size in zip(net.layers, map(net.features, range(len(net.layers))), strict=True)
    )


STACKS = [
    (Layer(LSTM(4), bidirectional=True), Layer(LSTM(2))),
    (Layer(GRU(2)), Layer(RNN(3), bidirectional=True), Layer(LSTM(2, "full"))),
    (Layer(CEC(3)), Layer(GRU(2, "after"))),
]


@pytest.mark.parametrize("layers", STACKS, ids=lambda layers: Network(F, layers).label)
def test_layers_of_their_own(layers: tuple[Layer, ...]):
    rng = np.random.default_rng(4)
    net = Network(F, layers)
    losses = losses_of_all_kinds(rng, net, "all") + losses_of_all_kinds(rng, net, "last")
    check(net, draw_each(net, rng), inputs(rng), losses)


SHRINK = 1e-4


def vanishing(cell: Cell, rng: np.random.Generator) -> tuple[Weights, Array]:
    """Weights and inputs with which ∂s_t/∂s_{t−1} is about 1e-4: through W, and through the gates.

    f = σ(−9.2) keeps 1e-4 of c; z = σ(9.2) leaves 1e-4 of h, by its bias or, without one, by an
    input that is always 1.
    """

    ((p,),) = draw(cell, rng, inputs=F, nets=NETS)
    x = inputs(rng, steps=9)
    x[:, :, 0] = 1
    layout = cell.parameters(F)
    for name in set(p) & {"W", "P"}:
        p[name] *= SHRINK
    shut = {"f": np.log(SHRINK), "z": -np.log(SHRINK)}
    for gate, level in shut.items():
        if gate in cell.gates:
            rows = layout["U"].blocks.index(gate) * H + np.arange(H)
            p["U"][:, rows, 0] = 0.0 if "b" in p else level
            if "b" in p:
                p["b"][:, rows] = level
    return ((p,),), x


@pytest.mark.parametrize("cell", usual_first(with_projections(H)))
def test_gradients_that_have_all_but_vanished(cell: Cell):
    rng = np.random.default_rng(3)
    weights, x = vanishing(cell, rng)
    net = Network.of(cell, F)
    (norms,) = check(net, weights, x, [probe(rng, net, "last")])
    farthest = norms.series["s"].values[0][NET, 0, 0, COLUMN, 0]
    if cell.kind == "cec" or not getattr(cell, "forget_gate", True):
        assert farthest > -8, "a carrousel without a gate does not forget"
    else:
        assert -60 < farthest < -29


@pytest.mark.parametrize("kind", cells.names())
def test_lengths_that_share_one_forward_pass(kind: str):
    """Each of them has the derivatives of its own unrolling."""
    rng = np.random.default_rng(11)
    cell = cells.get(kind)(H)
    net = Network.of(cell, F, 2)
    weights = draw(cell, rng, inputs=F, layers=2, nets=NETS)
    x, lengths = inputs(rng), [STEPS, 4, 1]
    for loss in losses_of_all_kinds(rng, net, "all") + losses_of_all_kinds(rng, net, "last"):
        norms = Norms(Timeline(net, loss, lengths, NETS, COLUMNS), ["h", "c", "s", "x"])
        backpropagate(net, weights, x, loss, lengths, [norms], Schedule(3))
        own = [[{k: a[NET] for k, a in p.items()} for p in layer] for layer in weights]
        for j, length in enumerate(lengths):
            (ref,) = reference.state_gradients(
                cell,
                own,
                x[:length, 0, :, COLUMN],
                [reference_loss(loss, NET, COLUMN, length)],
            )
            compare_norms(norms, ref, j)
