"""The live probe against autograd: every state of a cell-by-cell loop keeps its gradient."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.extras

from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

from gradflow.errors import UserError  # noqa: E402
from gradflow.integrations.torch import watch  # noqa: E402

Tensor = Any
DECADES = 1e-9
F, H = 3, 5


def draw(seed: int) -> dict[str, Any]:
    """A module with a batch, its initial state, and what the loss looks at."""
    choose = random.Random(seed)
    kind = choose.choice(["RNN", "RNN", "LSTM", "LSTM", "LSTM", "GRU", "GRU"])
    options: dict[str, Any] = {
        "num_layers": choose.choice([1, 1, 2, 3, 4]),
        "bidirectional": choose.random() < 0.5,
        "bias": choose.random() < 0.8,
        "batch_first": choose.random() < 0.5,
    }
    if kind == "LSTM" and choose.random() < 0.5:
        options["proj_size"] = 2
    if kind == "RNN":
        options["nonlinearity"] = choose.choice(["tanh", "relu"])
    return {
        "kind": kind,
        "options": options,
        "steps": choose.choice([1, 7, 12]),
        "packed": choose.choice([None, "sorted", "unsorted"]),
        "initial": choose.random() < 0.5,
        "loss": choose.choice(["last", "all", "ends", "listed", "head", "cells", "lower"]),
    }


def step(kind: str, p: list[Tensor], x: Tensor, state: list[Tensor], relu: bool) -> list[Tensor]:
    """PyTorch's equations as its documentation states them, of one sequence."""
    U, W, b, b_rec, R = p
    own, past = U @ x + b, W @ state[0] + b_rec
    if kind == "LSTM":
        i, f, g, o = (own + past).chunk(4)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return [h if R is None else R @ h, c]
    if kind == "GRU":
        (r, z, n), (r_h, z_h, n_h) = own.chunk(3), past.chunk(3)
        r, z = (r + r_h).sigmoid(), (z + z_h).sigmoid()
        return [(1 - z) * (n + r * n_h).tanh() + z * state[0]]
    return [(own + past).relu() if relu else (own + past).tanh()]


def parameters(module: Any, end: str) -> list[Tensor]:
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    found = [getattr(module, name + end, None) for name in names]
    zero = torch.zeros(len(found[0]), dtype=torch.float64)
    return [*found[:2], *(zero if b is None else b for b in found[2:4]), found[4]]


def loop(module: Any, kind: str, x: Tensor, start: list[Tensor]) -> tuple[Tensor, Any, Any]:
    """One sequence (steps, features): outputs, the states it ends in, and all states on the way.

    `start` are parts shaped (layers · directions, features).
    """
    seen, ends = {}, []
    ways = 2 if module.bidirectional else 1
    for layer, way in itertools.product(range(module.num_layers), range(ways)):
        if not way:
            below, outputs = x, []
        p = parameters(module, f"_l{layer}" + "_reverse" * way)
        states = [[part[layer * ways + way].clone() for part in start]]
        relu = getattr(module, "nonlinearity", "") == "relu"
        for seen_x in below.flip(0) if way else below:
            states.append(step(kind, p, seen_x, states[-1], relu))
        for state in itertools.chain(*states):
            state.retain_grad()
        seen[layer, way] = states
        ends.append(states[-1])
        hs = torch.stack([state[0] for state in states[1:]])
        outputs.append(hs.flip(0) if way else hs)
        if way == ways - 1:
            x = torch.cat(outputs, dim=-1)
    return x, [torch.stack(parts) for parts in zip(*ends, strict=True)], seen


def loss_of(what: str, out: Tensor, ends: list[Tensor], lengths: list[int], head: Any) -> Tensor:
    """L from padded outputs (steps, sequences, features) and the ends of all layers."""
    last = torch.stack([out[n - 1, j] for j, n in enumerate(lengths)])
    if what == "last":
        return (last * head.weight[0]).sum()
    if what == "all":
        return out.pow(2).mean()
    if what == "listed":
        return (out[0] * head.weight[1]).sum() + 3 * out[len(out) // 2].pow(2).sum()
    if what == "head":
        targets = torch.arange(len(lengths)) % 3
        return torch.nn.functional.cross_entropy(head(last), targets)
    if what == "ends":
        return ends[0][-2:].sin().sum()
    return ends[-1].pow(2).sum() if what == "cells" else (ends[0] * ends[0]).sum() + last.sum()


def logs(gradients: list[Tensor], size: int) -> np.ndarray[Any, Any]:
    zero = torch.zeros(size, dtype=torch.float64)
    each = [torch.linalg.norm(zero if g is None else g) for g in gradients]
    with np.errstate(divide="ignore"):
        return np.log10(torch.stack(each).numpy())


@pytest.mark.filterwarnings("ignore:RNN module weights")
@pytest.mark.parametrize("seed", range(80))
def test_every_state_has_autograds_gradient(seed: int) -> None:
    drawn = draw(seed)
    torch.manual_seed(seed)
    kind, options, T = drawn["kind"], drawn["options"], drawn["steps"]
    module = getattr(torch.nn, kind)(F, H, **options).double()
    lengths = [T] * 3
    if drawn["packed"]:
        lengths = sorted([max(1, T // 2), T, max(1, T - 2)], reverse=drawn["packed"] == "sorted")
    ways = 2 if module.bidirectional else 1
    sizes = [options.get("proj_size", 0) or H, H][: 2 if kind == "LSTM" else 1]
    rows = options["num_layers"] * ways
    make = torch.randn if drawn["initial"] else torch.zeros
    start = [make(rows, 3, n, dtype=torch.float64, requires_grad=True) for n in sizes]
    x = torch.randn(T, 3, F, dtype=torch.float64, requires_grad=True)
    head = torch.nn.Linear(sizes[0] * ways, 3).double()

    given = x.transpose(0, 1) if module.batch_first else x
    with watch(torch.nn.ModuleDict({"net": module, "head": head})) as probe:
        if drawn["packed"]:
            in_order = drawn["packed"] == "sorted"
            given = pack_padded_sequence(given, lengths, module.batch_first, in_order)
        hx = (tuple(start) if kind == "LSTM" else start[0]) if drawn["initial"] else None
        out, ends = module(given, hx)
        if drawn["packed"]:
            out, _ = pad_packed_sequence(out, total_length=T)
        elif module.batch_first:
            out = out.transpose(0, 1)
        ends = list(ends) if kind == "LSTM" else [ends]
        loss_of(drawn["loss"], out, ends, lengths, head).backward()

    x.grad = None
    runs = [
        loop(module, kind, x[:n, j], [part[:, j] for part in start]) for j, n in enumerate(lengths)
    ]
    padded = torch.stack(
        [
            torch.cat([own, torch.zeros(T - len(own), own.shape[1], dtype=own.dtype)])
            for own, _, _ in runs
        ],
        dim=1,
    )
    finals = [torch.stack(parts, dim=1) for parts in zip(*[e for _, e, _ in runs], strict=True)]
    torch.testing.assert_close(padded, out, rtol=1e-12, atol=1e-13)
    loss_of(drawn["loss"], padded, finals, lengths, head).backward()

    found = {}
    for point in probe.flow.points:
        result = probe.flow.source.result(point)
        for k, j in enumerate(result["h"].coords["sequence"].tolist()):
            found[j] = {name: q.values[:, :, k] for name, q in result.items()}
    for j, (_, _, seen) in enumerate(runs):
        for (layer, way), states in seen.items():
            for part, name in enumerate("hc"[: len(sizes)]):
                wanted = logs([state[part].grad for state in states], sizes[part])
                ours = found[j][name][layer, way]
                np.testing.assert_allclose(ours, wanted, rtol=0, atol=DECADES, err_msg=str(drawn))
        wanted = logs(list(x.grad[: lengths[j], j]), F)
        np.testing.assert_allclose(found[j]["x"][0, 0], wanted, rtol=0, atol=DECADES)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_cell_modules_are_followed_from_step_to_step(kind: str, bias: bool) -> None:
    torch.manual_seed(1)
    cell = getattr(torch.nn, kind + "Cell")(F, H, bias=bias).double()
    x = torch.randn(9, 2, F, dtype=torch.float64)
    start = torch.randn(2, H, dtype=torch.float64, requires_grad=True)
    other = torch.randn(2, H, dtype=torch.float64)
    hx = (start, other) if kind == "LSTM" else start

    def run(keep: bool) -> tuple[Tensor, list[list[Tensor]]]:
        state, seen, total = hx, [], 0
        for k, seen_x in enumerate(x):
            state = cell(seen_x, state)
            parts = list(state) if kind == "LSTM" else [state]
            for part in parts if keep else ():
                part.retain_grad()
            seen.append(parts)
            total = total + (k + 1) * parts[0].pow(2).sum()
        return total + parts[-1].sum(), seen

    total, seen = run(keep=True)
    total.backward()
    weights = cell.weight_hh.grad.clone()
    cell.zero_grad()
    with watch(cell) as probe:
        again, _ = run(keep=False)
        again.backward()
    assert torch.equal(again, total)
    torch.testing.assert_close(cell.weight_hh.grad, weights, rtol=1e-13, atol=0)
    for part, name in enumerate("hc"[: len(seen[0])]):
        found = probe.flow.get(name).values[0, 0, :, 1:]
        for j in range(2):
            wanted = logs([parts[part].grad[j] for parts in seen], H)
            np.testing.assert_allclose(found[j], wanted, rtol=0, atol=DECADES)


def backward(module: Any, *given: Any) -> None:
    module(*given)[0].sum().backward()


def test_dropout_between_layers_is_said() -> None:
    module = torch.nn.LSTM(F, H, 2, dropout=0.5)
    with (
        pytest.warns(UserWarning, match=r"lstm: dropout .* set its dropout to 0"),
        watch(module) as probe,
    ):
        backward(module, torch.randn(4, 2, F))
    with pytest.raises(UserError, match="dropout between its layers"):
        probe.table()
    module.eval()
    with probe:
        backward(module, torch.randn(4, 2, F))
    assert probe.flow.get("h").values.shape == (2, 1, 2, 5)


def test_a_state_changed_between_steps_is_said() -> None:
    cell = torch.nn.GRUCell(F, H)
    probe = watch(cell)
    probe.__enter__()
    h = torch.zeros(2, H)
    for x in torch.randn(5, 2, F):
        h = cell(x, h) * 0.9
    h.sum().backward()
    with pytest.warns(UserWarning, match="its state is changed after each step"):
        probe.__exit__(None, None, None)


def test_a_block_without_both_passes_is_said() -> None:
    module = torch.nn.GRU(F, H)
    total = module(torch.randn(4, 2, F))[0].sum()
    with pytest.warns(UserWarning, match="both belong inside the with block"), watch(module):
        total.backward()
    with pytest.raises(UserError, match="holds no recurrent module"):
        watch(torch.nn.Linear(2, 2))


def test_every_nth_block_is_measured_and_the_others_carry_no_hooks() -> None:
    module = torch.nn.LSTM(F, H)
    probe = watch(module, every=3)
    seen = []
    for steps in (4, 5, 6, 7):
        with probe:
            seen.append(bool(module._forward_hooks))
            backward(module, torch.randn(steps, 2, F))
        assert not module._forward_hooks
    assert seen == [True, False, False, True]
    assert [point.length for point in probe.flow.points] == [7]


def test_a_sum_is_judged_by_its_last_loss_alone() -> None:
    torch.manual_seed(0)
    module, x = torch.nn.GRU(F, H).double(), torch.randn(20, 2, F, dtype=torch.float64)
    with watch(module) as summed:
        module(x)[0].sum().backward()
    with watch(module) as alone:
        module(x)[0][-1].sum().backward()
    assert summed.flow.summary("h")[0].several
    assert not alone.flow.summary("h")[0].several
    (one,), (other,) = summed.flow.summary("h"), alone.flow.summary("h")
    assert one.decades == pytest.approx(other.decades, rel=1e-12)
    assert (
        summed.scalars()["gradflow/gru/layer0/h/start"]
        > alone.scalars()["gradflow/gru/layer0/h/start"]
    )


def test_norms_far_below_float32_have_all_their_digits() -> None:
    torch.manual_seed(0)
    module, x = torch.nn.RNN(F, H), torch.randn(400, 2, F)
    with watch(module) as probe, watch(module, dtype="float32") as half:
        (module(x)[0][-1].sum() * 1e-3).backward()
    wide, narrow = (one.flow.get("h").values[0, 0] for one in (probe, half))
    assert wide[:, 0].max() < -60
    np.testing.assert_allclose(narrow, wide, rtol=0, atol=1e-3)
