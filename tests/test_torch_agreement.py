"""Agreement with PyTorch's autograd, in float64 and with PyTorch's own weights loaded from a file.

PyTorch's modules show outputs, ∂L/∂x and the initial states' gradients. What they hide, the states
in between, comes from the same equations in PyTorch's primitives, which are first held to the
module's own output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import At, Loss
from gradflow.core.network.stack import Network
from gradflow.core.record import Gradients
from gradflow.experiment.models.weights import read_weights
from tests.flow import norms, unit

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.extras

from tests.torch_nets import F, H, log_norms, unroll  # noqa: E402

STEPS, COLUMNS = 30, 4
DECADES = 1e-9

RNNS = {
    "rnn": (torch.nn.RNN, {}),
    "rnn-relu": (torch.nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (torch.nn.LSTM, {}),
    "gru": (torch.nn.GRU, {}),
}

Tensor = Any


def scalar(outputs: Tensor, v: Tensor, at: At) -> Tensor:
    """Σ over sequences of v·y: sequences do not meet, so each keeps its own derivatives."""
    chosen = outputs[-1:] if at == "last" else outputs
    return (chosen * v).sum()


@pytest.mark.parametrize("at", ["last", "all"])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("name", RNNS)
def test_autograd(name: str, layers: int, both: bool, at: At, tmp_path: Path):
    torch.manual_seed(layers)
    make, options = RNNS[name]
    model = make(F, H, layers, bidirectional=both, **options).double()
    np.savez(tmp_path / "w.npz", **{k: a.numpy() for k, a in model.state_dict().items()})
    asked = {"activation": "relu"} if name == "rnn-relu" else {}
    imported = read_weights(tmp_path / "w.npz", options=asked)
    net = Network.of(imported.cell, F, layers, both)

    x = torch.randn(STEPS, COLUMNS, F, dtype=torch.float64, requires_grad=True)
    loss = unit(net, 1, COLUMNS, at)
    v = torch.from_numpy(loss.direction[0].T.copy())
    zeros = [torch.zeros(layers * (1 + both), COLUMNS, H).double() for _ in imported.cell.parts]
    by_hand = unroll(model, x, [zero.requires_grad_() for zero in zeros], (STEPS,) * COLUMNS)
    outputs = by_hand.outputs
    scalar(outputs, v, at).backward()
    drives = x.detach().numpy().transpose(0, 2, 1)[:, None]
    found = norms(net, imported.weights, drives, loss)
    for (layer, direction), states in by_hand.states.items():
        for part, what in enumerate(imported.cell.parts):
            wanted = log_norms([state[part].grad for state in states], states[0][part])
            ours = found[what][0, layer, direction]
            np.testing.assert_allclose(ours, wanted, rtol=0, atol=DECADES)

    again = x.detach().clone().requires_grad_()
    initial = [zero.detach().clone().requires_grad_() for zero in zeros]
    given = tuple(initial) if len(initial) == 2 else initial[0]
    module_outputs, _ = model(again, given)
    np.testing.assert_allclose(
        module_outputs.detach().numpy(), outputs.detach().numpy(), rtol=1e-12, atol=1e-13
    )
    model.zero_grad()
    scalar(module_outputs, v, at).backward()
    for part, state in zip(imported.cell.parts, initial, strict=True):
        start = found[part][0, :, :, :, 0].reshape(-1, COLUMNS)
        with np.errstate(divide="ignore"):  # relu units may all be off
            wanted = np.log10(torch.linalg.norm(state.grad, dim=2).numpy())
        np.testing.assert_allclose(start, wanted, rtol=0, atol=DECADES)
    wanted = log_norms(list(again.grad), again[0])
    np.testing.assert_allclose(found["x"][0, 0, 0], wanted, rtol=0, atol=DECADES)
    weights_agree(net, imported.weights, drives, loss, model)


def weights_agree(net: Network, weights: Any, x: Any, loss: Loss, model: Any) -> None:
    """‖∂L/∂U‖ and ‖∂L/∂W‖ of each layer and direction; rows may be reordered or change sign."""
    gradients = Gradients(net)
    backpropagate(net, weights, x, loss, [STEPS], [gradients], Schedule(5))
    for (layer, direction, name), total in gradients.sums.items():
        theirs = {"U": "weight_ih", "W": "weight_hh", "b_rec": None, "b": "bias_ih"}[name]
        if theirs is None:
            continue
        end = f"{theirs}_l{layer}" + ("_reverse" if direction else "")
        wanted = np.linalg.norm(getattr(model, end).grad.numpy())
        got = np.linalg.norm(total.plain)
        assert got == pytest.approx(wanted, rel=1e-10)
