"""What an update costs: nets that learn, against what one would write instead.

``python -m benchmarks.training RUNS`` times each side in turns, in one process on one core, after
their parameters have been compared, and prints JSON. Every side learns from the same sequences by
the same rule (SGD, half the squared error at the last step, a readout with bias), from the same
parameters; drawing the sequences is in nobody's time. The gates of all arrays are o, f, i, g.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from benchmarks.compare import Disagreement, on_one_core

RATE = 0.01
"""Learning rate."""

WATCHED = 100
"""Updates between two looks."""

Update: TypeAlias = Callable[[int], None]
"""Make so many updates."""

Parameters: TypeAlias = dict[str, np.ndarray]


@dataclass(frozen=True)
class Learning:
    """A training workload: LSTMs that read two features.

    Parameters
    ----------
    title : str
        In words.
    nets, hidden, steps, batch : int
        Sizes.
    updates : int
        Of one timed piece, and of a window; torch, whose nets learn one after another, makes them
        of one net.
    goals : dict
        By side, the least multiple of gradflow's time, or for ``lean`` and ``watched`` bounds.
    """

    title: str
    nets: int
    hidden: int
    steps: int
    batch: int
    updates: int
    goals: dict[str, str]

    def parameters(self) -> Parameters:
        """U, W, b, V and the readout's bias a, of every net."""
        rng, n, H = np.random.default_rng(0), self.nets, self.hidden
        shapes = {"U": (4 * H, 2), "W": (4 * H, H), "b": (4 * H, 1), "V": (1, H), "a": (1, 1)}
        return {name: rng.uniform(-0.3, 0.3, (n, *shape)) for name, shape in shapes.items()}

    def sequences(self) -> tuple[np.ndarray, np.ndarray]:
        """``x`` (T, 1, 2, batch) and the target (1, batch), the same at every update."""
        rng = np.random.default_rng(1)
        x = rng.uniform(-1, 1, (self.steps, 1, 2, self.batch))
        return x, 0.5 + x[0, 0, 0][None] / 4


LEARNING = {
    "10": Learning(
        "10 nets, LSTM 8, T = 100, batch 1", 10, 8, 100, 1, 20,
        {"lean": "≥ 0.67", "torch": "≥ 20", "watched": "≤ 1.05"},
    ),
    "100": Learning(
        "100 nets, LSTM 8, T = 100, batch 1", 100, 8, 100, 1, 10,
        {"lean": "≥ 0.67", "torch": "≥ 40"},
    ),
    "128": Learning(
        "one net, LSTM 128, T = 150, batch 20", 1, 128, 150, 20, 3, {"jax": "≥ 1"}
    ),
}  # fmt: skip
"""By the number that stands for each."""


def ours(work: Learning, watched: bool = False) -> tuple[Update, Callable[[], Parameters]]:
    """The driver of `train`; with the norms of four sequences looked at when a window closes."""
    from gradflow.core import cells
    from gradflow.core.engine.bptt import backpropagate
    from gradflow.core.engine.schedule import Schedule
    from gradflow.core.inputs import Batch
    from gradflow.core.learning.feed import Feed
    from gradflow.core.learning.loop import Rules, Trainer
    from gradflow.core.learning.objective import Objective
    from gradflow.core.learning.optimisers import SGD
    from gradflow.core.learning.parameters import Layout
    from gradflow.core.network.losses import Probe
    from gradflow.core.network.readout import Head
    from gradflow.core.network.stack import Network
    from gradflow.core.record import Norms, Timeline

    net = Network.of(cells.get("lstm")(hidden=work.hidden), 2)
    objective = Objective("half_squares", Head(1))
    x, target = work.sequences()
    targets = np.full((work.steps, 1, 1, work.batch), np.nan)
    targets[-1, 0] = target

    def draw(count: int, _: np.random.Generator) -> Batch:
        again = (1, 1, 1, count // work.batch)
        return Batch(np.tile(x, again), np.tile(targets, again), "values")

    p, every = work.parameters(), WATCHED if watched else work.updates
    watch = tuple(range(every, 1_000_000, every))
    feed = Feed(draw, work.steps, range(work.nets), work.batch)
    layout = Layout(net, objective.head)
    theta = layout.row((({name: p[name] for name in "UWb"},),), {"V": p["V"], "b": p["a"]})
    trainer = Trainer(net, objective, theta, feed, Rules(SGD(RATE), watch=watch))
    windows = trainer.windows()
    direction = np.ones((work.nets, work.hidden, 4)) / np.sqrt(work.hidden)
    looked = np.tile(x[..., :1], (1, 1, 1, 4))

    def update(count: int) -> None:
        for _ in range(count // every):
            window = next(windows)
            if watched:
                loss = Probe(direction)
                norms = Norms(Timeline(net, loss, (work.steps,), work.nets, 4), ("h", "c", "s"))
                weights, _ = layout.views(window.theta)
                backpropagate(net, weights, looked, loss, (work.steps,), [norms], Schedule(64))

    def found() -> Parameters:
        weights, head = layout.views(trainer.theta)
        return {**weights[0][0], "V": head["V"], "a": head["b"]}

    return update, found


def lean(work: Learning) -> tuple[Update, Callable[[], Parameters]]:
    """A loop written by hand for this net and nothing else, in NumPy."""
    p, (x, target) = work.parameters(), work.sequences()
    T, n, H, B = work.steps, work.nets, work.hidden, work.batch
    M, V, a = np.concatenate((p["W"], p["U"], p["b"]), axis=-1), p["V"], p["a"]

    def once() -> None:
        nonlocal M, V, a
        z = np.empty((T, n, H + 3, B))
        z[:, :, H:-1], z[:, :, -1] = x, 1
        s, g, tanh_c = (np.empty((T, n, k * H, B)) for k in (3, 1, 1))
        c = np.zeros((T + 1, n, H, B))
        h = c[0]
        for t in range(T):
            z[t, :, :H] = h
            u = M @ z[t]
            s[t] = 1 / (1 + np.exp(-u[:, : 3 * H]))
            g[t] = np.tanh(u[:, 3 * H :])
            c[t + 1] = s[t, :, H : 2 * H] * c[t] + s[t, :, 2 * H :] * g[t]
            tanh_c[t] = np.tanh(c[t + 1])
            h = s[t, :, :H] * tanh_c[t]
        o, f, i = (s[:, :, k * H : (k + 1) * H] for k in range(3))
        to_o, to_c = o * (1 - o) * tanh_c, o * (1 - tanh_c * tanh_c)
        to_fig = np.concatenate((f * (1 - f) * c[:-1], i * (1 - i) * g, i * (1 - g * g)), axis=2)
        e = (V @ h + a - target) / B
        dh, dc, Wt = V.swapaxes(1, 2) @ e, np.zeros_like(h), M[:, :, :H].swapaxes(1, 2)
        da = np.empty((T, n, 4 * H, B))
        for t in range(T - 1, -1, -1):
            dc = dc + dh * to_c[t]
            da[t, :, :H] = dh * to_o[t]
            da[t, :, H:].reshape(n, 3, H, B)[:] = to_fig[t].reshape(n, 3, H, B) * dc[:, None]
            dc = dc * f[t]
            dh = Wt @ da[t]
        V = V - RATE * e @ h.swapaxes(1, 2)
        a = a - RATE * e.sum(axis=-1, keepdims=True)
        rows = da.transpose(1, 2, 0, 3).reshape(n, 4 * H, -1)
        M = M - RATE * rows @ z.transpose(1, 0, 3, 2).reshape(n, -1, H + 3)

    def update(count: int) -> None:
        for _ in range(count):
            once()

    return update, lambda: {"W": M[:, :, :H], "U": M[:, :, H:-1], "b": M[:, :, -1:], "V": V, "a": a}


def torch_loop(work: Learning) -> tuple[Update, Callable[[], Parameters]]:
    """`LSTMCell` step by step, the first net alone."""
    import torch

    torch.set_num_threads(1)
    p, (x, target) = work.parameters(), work.sequences()
    H = work.hidden
    order = np.concatenate([np.arange(k * H, (k + 1) * H) for k in (2, 1, 3, 0)])  # i, f, g, o
    cell, head = torch.nn.LSTMCell(2, H).double(), torch.nn.Linear(H, 1).double()
    with torch.no_grad():
        for own, value in (
            (cell.weight_ih, p["U"][0][order]),
            (cell.weight_hh, p["W"][0][order]),
            (cell.bias_ih, p["b"][0, order, 0]),
            (head.weight, p["V"][0]),
            (head.bias, p["a"][0, 0]),
        ):
            own.copy_(torch.tensor(value))
        cell.bias_hh.zero_()
    cell.bias_hh.requires_grad_(False)
    own = [*(q for q in cell.parameters() if q.requires_grad), *head.parameters()]
    optimiser = torch.optim.SGD(own, lr=RATE)
    inputs, wanted = (torch.tensor(one) for one in (x[:, 0].transpose(0, 2, 1), target.T))

    def update(count: int) -> None:
        for _ in range(count):
            state = (torch.zeros(work.batch, H).double(),) * 2
            for step in inputs:
                state = cell(step, state)
            optimiser.zero_grad()
            ((head(state[0]) - wanted) ** 2).sum().mul(0.5 / work.batch).backward()
            optimiser.step()

    def found() -> Parameters:
        back = np.argsort(order)
        U, W, b = (q.detach().numpy()[back] for q in own[:3])
        V, a = (q.detach().numpy() for q in own[3:])
        return {"U": U[None], "W": W[None], "b": b[None, :, None], "V": V[None], "a": a[None, None]}

    return update, found


def jax_scan(work: Learning) -> tuple[Update, Callable[[], Parameters]]:
    """`lax.scan` under `grad`, `vmap` over nets and `jit`, compiled beforehand."""
    import jax
    import jax.numpy as jnp

    (x, target), H = work.sequences(), work.hidden

    def loss(p: Any) -> Any:
        def step(state: Any, u: Any) -> tuple[Any, None]:
            h, c = state
            o, f, i, g = jnp.split(p["W"] @ h + u, 4)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zero = jnp.zeros((H, work.batch))
        (h, _), _ = jax.lax.scan(step, (zero, zero), p["U"] @ x[:, 0] + p["b"])
        return ((p["V"] @ h + p["a"] - target) ** 2).sum() / (2 * work.batch)

    def updated(p: Any) -> Any:
        return jax.tree.map(lambda q, d: q - RATE * d, p, jax.grad(loss)(p))

    step = jax.jit(jax.vmap(updated))
    p = {name: jnp.asarray(q) for name, q in work.parameters().items()}
    jax.block_until_ready(step(p))  # compiles

    def update(count: int) -> None:
        nonlocal p
        for _ in range(count):
            p = step(p)
        jax.block_until_ready(p)

    return update, lambda: {name: np.asarray(q) for name, q in p.items()}


SIDES = {
    "gradflow": ours,
    "watched": lambda work: ours(work, watched=True),
    "lean": lean,
    "torch": torch_loop,
    "jax": jax_scan,
}

TITLES = {
    "gradflow": "gradflow",
    "watched": "gradflow, every 100th update watched",
    "lean": "a lean loop by hand, NumPy",
    "torch": "torch `LSTMCell` loop, nets one after another",
    "jax": "JAX jit, vmap over nets",
}


def made_of(side: str, work: Learning) -> int:
    """Updates of a timed piece."""
    return WATCHED if side == "watched" else work.updates


def timed(name: str, runs: int) -> list[dict[str, Any]]:
    """Wall and processor seconds an update, all nets together, of each side in turns."""
    work = LEARNING[name]
    sides = {s: make for s, make in SIDES.items() if s != "watched" or s in work.goals}
    made = {side: make(work) for side, make in sides.items()}
    for side, (update, found) in made.items():
        update(made_of(side, work))
        if side == "watched":  # it has made more of them
            continue
        reference, own = made["gradflow"][1](), found()
        for key, value in own.items():
            apart = np.abs(value / reference[key][: len(value)] - 1).max()
            if not apart < 1e-9:
                raise Disagreement(f"{TITLES[side]}: {key} is {apart:.2g} from gradflow's")
    timings = [{"work": name, "side": side, "wall": [], "cpu": []} for side in made]
    for _ in range(runs):
        for timing in timings:
            side = timing["side"]
            count = made_of(side, work)
            each = count / (work.nets if side == "torch" else 1)
            wall, cpu = time.perf_counter(), time.process_time()
            made[side][0](count)
            timing["wall"].append((time.perf_counter() - wall) / each)
            timing["cpu"].append((time.process_time() - cpu) / each)
    return timings


def training(runs: int, core: int) -> list[dict[str, Any]]:
    """Time all workloads in a process of its own on one core."""
    return on_one_core("benchmarks.training", runs, core)


def show(timings: list[dict[str, Any]]) -> dict[str, list[list[str]]]:
    """Header and cells of each workload, by its title; ratios are medians over the turns."""
    tables: dict[str, list[list[str]]] = {}
    for name in dict.fromkeys(t["work"] for t in timings):
        group = [t for t in timings if t["work"] == name]
        rows = [["", "median ms", "quartiles ms", "/ gradflow", "CPU", "goal"]]
        for t in group:
            low, median, high = (1e3 * np.quantile(t["wall"], q) for q in (0.25, 0.5, 0.75))
            ratios = [np.median(np.divide(t[k], group[0][k])) for k in ("wall", "cpu")]
            goal = LEARNING[name].goals.get(t["side"], "")
            rows.append(
                [
                    TITLES[t["side"]],
                    f"{median:.1f}",
                    f"{low:.1f}–{high:.1f}",
                    *(f"{ratio:.2f}" for ratio in ratios),
                    goal,
                ]
            )
        tables[LEARNING[name].title] = rows
    return tables


if __name__ == "__main__":
    chosen = sys.argv[2:] or LEARNING
    print(json.dumps([one for name in chosen for one in timed(name, int(sys.argv[1]))]))
