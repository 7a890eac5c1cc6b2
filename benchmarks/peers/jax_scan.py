"""JAX: a jitted `lax.scan` with a zero perturbation added to each state.

The gradient with respect to the perturbation of h_k (of c_k) is the total ∂L/∂h_k (∂L/∂c_k). Input
projections stand before the scan, nets run under `vmap`, weights are arguments without gradient.
Several lengths go any of three ways, see `METHODS`; the fastest, `joined`, is the default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn import sigmoid

from benchmarks.workloads import STATES, Problem

Params = Mapping[str, jax.Array]
State = tuple[jax.Array, ...]
Norms = list[dict[str, np.ndarray]]


def rnn(p: Params, s: State, u: jax.Array, e: State) -> State:
    return (jnp.tanh(u + s[0] @ p["W"]) + e[0],)


def cec(p: Params, s: State, u: jax.Array, e: State) -> State:
    return (s[0] + u + e[0],)


def gru(p: Params, s: State, u: jax.Array, e: State) -> State:
    h = s[0]
    a = h @ p["W"]
    n = h.shape[-1]
    z, r = jnp.split(sigmoid(u[..., : 2 * n] + a[..., : 2 * n]), 2, axis=-1)
    g = jnp.tanh(u[..., 2 * n :] + r * (a[..., 2 * n :] + p["b_rec"]))
    return (h + z * (g - h) + e[0],)


def lstm(p: Params, s: State, u: jax.Array, e: State) -> State:
    h, c = s
    n = h.shape[-1]
    a = u + h @ p["W"]
    f, i, o = jnp.split(sigmoid(a[..., : 3 * n]), 3, axis=-1)
    c = f * c + i * jnp.tanh(a[..., 3 * n :]) + e[1]
    return o * jnp.tanh(c) + e[0], c


def coupled(p: Params, s: State, u: jax.Array, e: State) -> State:
    h, c = s
    n = h.shape[-1]
    a = u + h @ p["W"]
    f, o = jnp.split(sigmoid(a[..., : 2 * n]), 2, axis=-1)
    g = jnp.tanh(a[..., 2 * n :])
    c = g + f * (c - g) + e[1]
    return o * jnp.tanh(c) + e[0], c


def peephole(p: Params, s: State, u: jax.Array, e: State) -> State:
    h, c = s
    n = h.shape[-1]
    f, i, o, g = jnp.split(u + h @ p["W"], 4, axis=-1)
    f = sigmoid(f + p["P"][..., :n] * c)
    i = sigmoid(i + p["P"][..., n : 2 * n] * c)
    c = f * c + i * jnp.tanh(g) + e[1]
    return sigmoid(o + p["P"][..., 2 * n :] * c) * jnp.tanh(c) + e[0], c


CELLS = {f.__name__: f for f in (rnn, cec, gru, lstm, coupled, peephole)}


def outputs(cell: str, weights: Any, x: jax.Array, perturb: Any, unroll: int) -> jax.Array:
    """One net's outputs y, (steps, sequences, width); `perturb` is indexed [layer][direction]."""
    step = CELLS[cell]
    for layer, shifts in zip(weights, perturb, strict=True):
        ys = []
        for direction, (p, (start, e)) in enumerate(zip(layer, shifts, strict=True)):
            u = (x[::-1] if direction else x) @ p["U"]
            u = u + p["b"] if "b" in p else u

            def body(s: State, ue: Any, p: Params = p) -> tuple[State, jax.Array]:
                s = step(p, s, *ue)
                return s, s[0]

            y = lax.scan(body, start, (u, e), unroll=unroll)[1]
            ys.append(y[::-1] if direction else y)
        x = jnp.concatenate(ys, axis=-1) if len(ys) > 1 else ys[0]
    return x


def zeros(problem: Problem, steps: int) -> Any:
    """The zero initial states and perturbations of one net."""
    work = problem.work
    parts = len(STATES[work.cell])
    state = (work.sequences, work.hidden)
    start = (jnp.zeros(state, problem.dtype),) * parts
    shift = (jnp.zeros((steps, *state), problem.dtype),) * parts
    return [[(start, shift)] * work.directions] * work.layers


def log_norms(grads: Any) -> list[jax.Array]:
    """log10 norms of every part of the state, each (layers, directions, steps + 1, sequences)."""
    parts = len(grads[0][0][0])
    return [
        jnp.stack(
            [
                jnp.stack(
                    [
                        jnp.log10(jnp.linalg.norm(jnp.concatenate([s[k][None], e[k]]), axis=-1))
                        for s, e in layer
                    ]
                )
                for layer in grads
            ]
        )
        for k in range(parts)
    ]


def each(problem: Problem, unroll: int) -> Callable[..., Any]:
    """A forward and a backward pass of its own for every length, all in one compiled program."""
    work = problem.work

    def net(weights: Any, x: jax.Array, v: jax.Array) -> Any:
        def loss(perturb: Any, length: int) -> jax.Array:
            y = outputs(work.cell, weights, x[:length], perturb, unroll)
            return jnp.sum((y[-1] if work.at == "last" else y) * v)

        return [
            log_norms(jax.grad(partial(loss, length=t))(zeros(problem, t))) for t in work.lengths
        ]

    return net


def shared(problem: Problem, unroll: int) -> Callable[..., Any]:
    """One forward pass; its pullback under `vmap` over the positions of the loss."""
    work = problem.work
    ends = jnp.array(work.lengths) - 1

    def net(weights: Any, x: jax.Array, v: jax.Array) -> Any:
        def ended(perturb: Any) -> jax.Array:
            return outputs(work.cell, weights, x, perturb, unroll)[ends]

        pull = jax.vjp(ended, zeros(problem, work.steps))[1]
        seeds = jnp.eye(len(ends), dtype=v.dtype)[:, :, None, None] * v
        norms = jax.vmap(lambda seed: log_norms(pull(seed)[0]))(seeds)
        return [[n[k, :, :, : t + 1] for n in norms] for k, t in enumerate(work.lengths)]

    return net


def joined(problem: Problem, unroll: int) -> Callable[..., Any]:
    """One forward pass; going back, each length joins a growing `vmap` at its own last step."""
    work = problem.work
    step = CELLS[work.cell]
    spans = list(pairwise((0, *work.lengths)))

    def net(weights: Any, x: jax.Array, v: jax.Array) -> Any:
        ((p,),) = weights
        ((start, e),) = zeros(problem, work.steps)[0]
        u = x @ p["U"] + p["b"] if "b" in p else x @ p["U"]

        def stretch(s: State, e: State, u: jax.Array) -> State:
            return lax.scan(lambda s, ue: (step(p, s, *ue), None), s, (u, e), unroll=unroll)[0]

        pulls = []
        for a, b in spans:
            start, pull = jax.vjp(partial(stretch, u=u[a:b]), start, tuple(part[a:b] for part in e))
            pulls.append(pull)
        joining = (v, *(jnp.zeros_like(v) for _ in start[1:]))
        at_end: State = tuple(part[:0] for part in map(partial(jnp.expand_dims, axis=0), joining))
        norms: list[list[jax.Array]] = [[] for _ in start]
        for pull in reversed(pulls):
            at_end = tuple(
                jnp.concatenate([part, new[None]])
                for part, new in zip(at_end, joining, strict=True)
            )
            at_end, shifts = jax.vmap(pull)(at_end)
            for parts, shift in zip(norms, shifts, strict=True):
                parts.insert(0, jnp.log10(jnp.linalg.norm(shift, axis=-1)))
        first = [jnp.log10(jnp.linalg.norm(part, axis=-1))[:, None] for part in at_end]
        longest = len(spans) - 1  # the longest length is the first to join
        return [
            [
                jnp.concatenate([first[k][longest - i], *(n[longest - i] for n in parts[: i + 1])])[
                    None, None
                ]
                for k, parts in enumerate(norms)
            ]
            for i in range(len(spans))
        ]

    return net


METHODS = {"each": each, "shared": shared, "joined": joined}


def prepare(problem: Problem, method: str | None = None, unroll: int = 1) -> Callable[[], Norms]:
    work = problem.work
    weights = jax.tree.map(jnp.asarray, [[_rows(p) for p in layer] for layer in problem.weights])
    x = jnp.asarray(problem.x.swapaxes(1, 2))
    v = jnp.asarray(problem.probe.swapaxes(1, 2))
    method = method or ("joined" if len(work.lengths) > 1 else "each")
    net = METHODS[method](problem, unroll)
    if work.nets == 1:
        drop = jax.tree.map(lambda w: w[0], weights)
        program = jax.jit(net).lower(drop, x, v[0]).compile()
        call = lambda: jax.block_until_ready(program(drop, x, v[0]))  # noqa: E731
    else:
        program = jax.jit(jax.vmap(net, in_axes=(0, None, 0))).lower(weights, x, v).compile()
        call = lambda: jax.block_until_ready(program(weights, x, v))  # noqa: E731

    def run() -> Norms:
        result = call()
        return [
            {
                name: _ordered(np.asarray(values), work.nets)
                for name, values in zip(STATES[work.cell], parts, strict=True)
            }
            for parts in result
        ]

    return run


def _rows(p: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sequences are rows here: matrices transposed, vectors along the last axis."""
    return {
        name: np.ascontiguousarray(w.swapaxes(1, 2)) if name in "UW" else w[:, None, :, 0]
        for name, w in p.items()
    }


def _ordered(values: np.ndarray, nets: int) -> np.ndarray:
    """(nets, layers, directions, steps, sequences) to (layers, directions, nets, sequences, …)."""
    values = values if nets > 1 else values[None]
    return values.transpose(1, 2, 0, 4, 3)
