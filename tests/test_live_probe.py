"""The live probe against autograd: every state of a cell-by-cell loop keeps its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.extras

from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

from gradflow.errors import UserError  # noqa: E402
from gradflow.integrations.torch import watch  # noqa: E402
from tests.torch_nets import F, H, draw, log_norms, loss_of, unroll  # noqa: E402

Tensor = Any
DECADES = 1e-9


@pytest.mark.filterwarnings("ignore:RNN module weights")
@pytest.mark.parametrize("seed", range(64))
def test_every_state_has_autograds_gradient(seed: int) -> None:
    drawn = draw(seed)
    module, lengths, T = drawn.module(), drawn.lengths, drawn.steps
    x, start, head = drawn.batch()
    given = x.transpose(0, 1) if module.batch_first else x
    with watch(torch.nn.ModuleDict({"net": module, "head": head})) as probe:
        if drawn.packed != "no":
            given = pack_padded_sequence(
                given, lengths, module.batch_first, drawn.packed == "sorted"
            )
        hx = (tuple(start) if len(start) > 1 else start[0]) if drawn.initial else None
        out, ends = module(given, hx)
        if drawn.packed != "no":
            out, _ = pad_packed_sequence(out, total_length=T)
        elif module.batch_first:
            out = out.transpose(0, 1)
        ends = list(ends) if len(start) > 1 else [ends]
        loss_of(drawn.loss, out, ends, lengths, head).backward()

    x.grad = None
    by_hand = unroll(module, x, start, lengths)
    torch.testing.assert_close(by_hand.outputs, out, rtol=1e-12, atol=1e-13)
    loss_of(drawn.loss, by_hand.outputs, by_hand.ends, lengths, head).backward()

    (point,) = probe.flow.points
    found = {name: q.values for name, q in probe.flow.source.result(point).items()}
    for j, length in enumerate(lengths):
        for (layer, way), states in by_hand.states.items():
            for part, name in enumerate("hc"[: len(start)]):
                each = [state[part] for state in states[: length + 1]]
                wanted = log_norms([state.grad for state in each], each[0])[j]
                ours = found[name][layer, way, j]
                assert np.isnan(ours[length + 1 :]).all()
                ours = ours[: length + 1]
                np.testing.assert_allclose(ours, wanted, rtol=0, atol=DECADES, err_msg=str(drawn))
        wanted = log_norms(list(x.grad[:length]), x[0])[j]
        np.testing.assert_allclose(found["x"][0, 0, j, :length], wanted, rtol=0, atol=DECADES)


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
            wanted = log_norms([parts[part].grad for parts in seen], other)[j]
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


def norms_of(probe: Any) -> dict[str, Any]:
    (point,) = probe.flow.points
    return dict(probe.flow.source.result(point))


def test_calls_that_hand_their_state_on_are_one() -> None:
    torch.manual_seed(0)
    module, x = torch.nn.LSTM(F, H, 2).double(), torch.randn(6, 2, F, dtype=torch.float64)
    with watch(module) as whole:
        module(x)[0].pow(2).sum().backward()
    with watch(module) as stepped:
        state, outputs = None, []
        for one in x.split(2):
            out, state = module(one, state)
            outputs.append(out)
        torch.cat(outputs).pow(2).sum().backward()
    for name, wanted in norms_of(whole).items():
        np.testing.assert_allclose(
            norms_of(stepped)[name].values, wanted.values, rtol=0, atol=DECADES
        )


def test_a_loss_on_what_is_handed_on_is_said() -> None:
    module, x = torch.nn.LSTM(F, H), torch.randn(4, 2, F)

    def twice(x: Tensor) -> list[Tensor]:
        _, (h, c) = module(x)
        return [module(x, (h, c))[0].sum() + c.sum()]

    with pytest.warns(UserWarning, match="the state that it hands on"), watch(module):
        backward(twice, x)


def test_a_padded_batch_has_lags_from_each_last_loss() -> None:
    torch.manual_seed(0)
    module, x = torch.nn.GRU(F, H).double(), torch.randn(9, 3, F, dtype=torch.float64)
    ends = np.array([9, 4, 6])
    with watch(module) as probe:
        module(x)[0][ends - 1, np.arange(3)].sum().backward()
    quantity = norms_of(probe)["h"]
    np.testing.assert_array_equal(quantity.coords["lag"][0], ends[:, None] - np.arange(10))
    assert (quantity.values[0, 0, 1, 5:] == -np.inf).all()
    assert probe.scalars()["gradflow/gru/layer0/h/decades"] == pytest.approx(
        np.median([quantity.values[0, 0, j, 0] - quantity.values[0, 0, j, n]
                   for j, n in enumerate(ends)]), rel=1e-12,
    )  # fmt: skip


@pytest.mark.parametrize("both", [False, True])
def test_memory_is_bounded(both: bool) -> None:
    torch.manual_seed(0)
    module = torch.nn.LSTM(F, 16, bidirectional=both).double()
    x = torch.randn(50, 40, F, dtype=torch.float64)
    found = []
    for memory in (2 << 30, 800_000):
        with watch(module, memory=memory) as probe:
            module(x)[0][-1].sum().backward()
        found.append(norms_of(probe)["c"].values)
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=DECADES)
    with watch(module, memory=70_000) as probe:
        backward(module, x[:, :1])
    with pytest.raises(UserError, match=r"may take 70,000\n  fix: watch\(model, memory="):
        probe.table()
    with pytest.warns(UserWarning, match="one step of training"), watch(module, memory=1000):
        backward(module, x)


def test_an_error_that_is_not_finite_is_said() -> None:
    module = torch.nn.GRU(F, H)
    with pytest.warns(UserWarning, match="gru: the error .* is not finite"), watch(module):
        backward(lambda x: module(x)[0] * float("inf"), torch.randn(4, 2, F))
