"""Recurrent networks written from the textbook equations, differentiated by the complex step.

It shares nothing with the engine but the layout of the parameter arrays, so the two can only agree
by both being right. Here a *run* is one sequence through one network; runs lie side by side on the
leading axis and never meet, and each has one number of its own nudged by i·1e-200. The imaginary
part of its loss, over 1e-200, is the derivative by that number to rounding: no difference is taken,
so there is no cancellation, however small the derivative is (Squire & Trapp 1998).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

STEP = 1e-200

Array = np.ndarray[Any, Any]
Weights = Sequence[Sequence[Mapping[str, Array]]]
Loss = Callable[[Array], Array]
Nudge = tuple[str, int, int, int, int]
"""(what, layer, direction, step, component), `what` one of h, c, s_c (c carried on) and x."""


def sigma(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def relu(a: Array) -> Array:
    return np.where(a.real > 0, a, 0)


def clipped(slope: float) -> Callable[[Array], Array]:
    return lambda a: np.where(
        a.real * slope < -0.5, 0, np.where(a.real * slope > 0.5, 1, a * slope + 0.5)
    )


F: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "sigmoid": sigma,
    "relu": relu,
    "identity": lambda a: a,
    "hard_sigmoid": clipped(1 / 6),
    "hard_sigmoid_keras2": clipped(0.2),
    "squash1": lambda a: 2 * sigma(a) - 1,
    "squash2": lambda a: 4 * sigma(a) - 2,
}


def times(matrix: Array, vector: Array) -> Array:
    """One matrix and one vector for each run; a matrix may serve all runs."""
    if len(matrix) == 1:
        return vector @ matrix[0].T
    return (matrix @ vector[..., None])[..., 0]


def blocks(array: Array, names: Iterable[str]) -> dict[str, Array]:
    names = list(names)
    return dict(zip(names, np.split(array, len(names), axis=-2), strict=True))


def rnn(cell: Any, p: Mapping[str, Array], x: Array, h: Array, c: Array, eps: Callable[[str], Any]):
    a = times(p["U"], x) + times(p["W"], h)
    if cell.bias:
        a = a + p["b"][..., 0]
    return F[cell.activation](a) + eps("h"), c


def cec(cell: Any, p: Mapping[str, Array], x: Array, h: Array, c: Array, eps: Callable[[str], Any]):
    return h + times(p["U"], x) + eps("h"), c


def lstm(
    cell: Any, p: Mapping[str, Array], x: Array, h: Array, c: Array, eps: Callable[[str], Any]
):
    layout = cell.parameters(1)
    affine = times(p["U"], x) + times(p["W"], h) + (p["b"][..., 0] if cell.bias else 0)
    a = blocks(affine[..., None], layout["U"].blocks)
    P = blocks(p["P"], layout["P"].blocks) if cell.peephole != "none" else {}
    open_ = F[cell.gate_activation]

    def gate(name: str, seen: Array) -> Array:
        own = a[name][..., 0]
        if name not in P:
            return own
        diagonal = cell.peephole == "diagonal"
        return own + (P[name][..., 0] * seen if diagonal else times(P[name], seen))

    candidate = F[cell.activation](gate("g", c))
    if cell.coupled:
        f = open_(gate("f", c))
        new = f * c + (1 - f) * candidate
    elif cell.forget_gate:
        new = open_(gate("f", c)) * c + open_(gate("i", c)) * candidate
    else:
        new = c + open_(gate("i", c)) * candidate
    new = new + eps("c")
    out = open_(gate("o", new)) * F[cell.output_activation](new)
    return (times(p["R"], out) if cell.projection else out) + eps("h"), new + eps("s_c")


def gru(cell: Any, p: Mapping[str, Array], x: Array, h: Array, c: Array, eps: Callable[[str], Any]):
    W = blocks(p["W"], "zrg")
    drive = times(p["U"], x)
    if cell.bias:
        drive = drive + p["b"][..., 0]
    u = {gate: block[..., 0] for gate, block in blocks(drive[..., None], "zrg").items()}
    open_ = F[cell.gate_activation]
    z = open_(u["z"] + times(W["z"], h))
    r = open_(u["r"] + times(W["r"], h))
    if cell.reset == "before":
        recurrent = times(W["g"], r * h)
    else:
        inner = p["b_rec"][..., 0] if cell.bias else 0
        recurrent = r * (times(W["g"], h) + inner)
    candidate = F[cell.activation](u["g"] + recurrent)
    return (1 - z) * h + z * candidate + eps("h"), c


def block(
    cell: Any, p: Mapping[str, Array], x: Array, h: Array, c: Array, eps: Callable[[str], Any]
):
    """Blocks whose gates and cells see h alone; their first cells come first, then the second, ….

    The rows of W and U are the gates of all blocks, then the candidates of all cells.
    """
    a = blocks((times(p["U"], x) + times(p["W"], h))[..., None], cell.gates)
    b = blocks(p["b"], cell.parameters(1)["b"].blocks) if "b" in p else {}
    a = {gate: own[..., 0] + (b[gate][..., 0] if gate in b else 0) for gate, own in a.items()}
    i, f, o = (np.tile(sigma(a[gate]), cell.size) if gate in a else 1.0 for gate in "ifo")
    candidates = np.concatenate([a[gate] for gate in a if gate not in cell.shared], axis=-1)
    new = f * c + i * F[cell.activation](candidates) + eps("c")
    return o * F[cell.output_activation](new) + eps("h"), new + eps("s_c")


STEPS = {"rnn": rnn, "cec": cec, "lstm": lstm, "gru": gru, "block": block}


def size(cell: Any, what: str) -> int:
    """Features of h, or of c."""
    return int(cell.sizes[0 if what == "h" else -1])


def each_layer(cell: Any, weights: Weights) -> list[Any]:
    """The cells of a stack, bottom up, from the one of all layers or one for each."""
    return list(cell) if isinstance(cell, Sequence) else [cell] * len(weights)


def unroll(cell: Any, weights: Weights, x: Array, nudged: Sequence[Nudge] = ()) -> Array:
    """Outputs (steps, runs, features) of the top layer over x (steps, runs, features).

    Run n has the number that ``nudged[n]`` names nudged by i·1e-200.
    """
    steps, runs, _ = x.shape
    cells = each_layer(cell, weights)
    noise: dict[tuple[str, int, int, int], Array] = {}
    for run, (what, layer, direction, step, component) in enumerate(nudged):
        width = x.shape[-1] if what == "x" else size(cells[layer], what)
        key = (what, layer, direction, step)
        noise.setdefault(key, np.zeros((runs, width), complex))[run, component] = 1j * STEP
    x = np.stack([x[t] + noise.get(("x", 0, 0, t + 1), 0) for t in range(steps)])
    for layer, (cell, directions) in enumerate(zip(cells, weights, strict=True)):
        outputs = []
        for direction, p in enumerate(directions):
            order = range(steps) if direction == 0 else range(steps - 1, -1, -1)
            h, c = (np.zeros((runs, size(cell, part)), complex) for part in "hc")
            h = h + noise.get(("h", layer, direction, 0), 0)
            c = c + noise.get(("c", layer, direction, 0), 0)
            c = c + noise.get(("s_c", layer, direction, 0), 0)
            seen: dict[int, Array] = {}
            for step, t in enumerate(order, start=1):

                def eps(what: str, at: tuple[int, int, int] = (layer, direction, step)) -> Any:
                    return noise.get((what, *at), 0)

                h, c = STEPS[cell.kind](cell, p, x[t], h, c, eps)
                seen[t] = h
            outputs.append(np.stack([seen[t] for t in range(steps)]))
        x = np.concatenate(outputs, axis=-1)
    return x


def state_gradients(
    cell: Any, weights: Weights, x: Array, losses: Sequence[Loss]
) -> list[dict[tuple[str, int, int], Array]]:
    """∂L/∂(what) of one sequence x (steps, features), for each loss: {(what, layer, direction)}.

    Arrays are (steps + 1, hidden), from the initial state on; for ``x``, at (x, 0, 0), they are
    (steps, features). An LSTM's layers add the keys c and s_c.
    """
    steps, features = x.shape
    cells = each_layer(cell, weights)
    shapes = {
        (what, layer, direction): (steps + 1, size(cells[layer], what))
        for what in ("h", "c", "s_c")
        for layer, directions in enumerate(weights)
        for direction in range(len(directions))
        if what == "h" or "c" in cells[layer].parts
    }
    nudged = [
        (*key, step, component)
        for key, (times_, width) in shapes.items()
        for step in range(times_)
        for component in range(width)
    ]
    nudged += [("x", 0, 0, step + 1, j) for step in range(steps) for j in range(features)]
    shapes["x", 0, 0] = (steps, features)
    runs = np.repeat(x[:, None].astype(complex), len(nudged), axis=1)
    batched = [[{k: v[None] for k, v in p.items()} for p in layer] for layer in weights]
    outputs = unroll(cell, batched, runs, nudged)
    cuts = np.cumsum([np.prod(shape) for shape in shapes.values()])[:-1]
    found = []
    for loss in losses:
        pieces = np.split(loss(outputs).imag / STEP, cuts)
        found.append({k: g.reshape(s) for (k, s), g in zip(shapes.items(), pieces, strict=True)})
    return found


def parameter_gradients(
    cell: Any, weights: Weights, x: Array, losses: Sequence[Loss]
) -> list[dict[tuple[int, int, str], Array]]:
    """∂L/∂θ of one sequence x (steps, features), for each loss: {(layer, direction, name)}."""
    places = [
        (layer, direction, name)
        for layer, directions in enumerate(weights)
        for direction, p in enumerate(directions)
        for name in p
    ]
    sizes = [weights[layer][direction][name].size for layer, direction, name in places]
    runs = sum(sizes)
    nudgeable: list[list[dict[str, Array]]] = [[dict(p) for p in layer] for layer in weights]
    start = 0
    for (layer, direction, name), size in zip(places, sizes, strict=True):
        array = weights[layer][direction][name]
        copies = np.repeat(array[None].astype(complex), runs, axis=0)
        copies.reshape(runs, size)[np.arange(start, start + size), np.arange(size)] += 1j * STEP
        nudgeable[layer][direction][name] = copies
        start += size
    outputs = unroll(cell, nudgeable, np.repeat(x[:, None].astype(complex), runs, axis=1))
    found = []
    for loss in losses:
        pieces = np.split(loss(outputs).imag / STEP, np.cumsum(sizes)[:-1])
        found.append(
            {
                place: g.reshape(weights[place[0]][place[1]][place[2]].shape)
                for place, g in zip(places, pieces, strict=True)
            }
        )
    return found
