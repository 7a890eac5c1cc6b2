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
from gradflow.experiment.models.weights import read
from tests.flow import norms, unit

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.extras

H, F, STEPS, COLUMNS = 5, 3, 30, 4
DECADES = 1e-9

RNNS = {
    "rnn": (torch.nn.RNN, {}),
    "rnn-relu": (torch.nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (torch.nn.LSTM, {}),
    "gru": (torch.nn.GRU, {}),
}

Tensor = Any


def step(kind: str, p: dict[str, Tensor], x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """PyTorch's equations as its documentation states them, on (batch, features)."""
    own, past = x @ p["ih"].T + p["b_ih"], h @ p["hh"].T + p["b_hh"]
    if kind == "lstm":
        i, f, g, o = (own + past).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
    if kind == "gru":
        (r, z, n), (r_h, z_h, n_h) = own.chunk(3, dim=1), past.chunk(3, dim=1)
        r, z = (r + r_h).sigmoid(), (z + z_h).sigmoid()
        return (1 - z) * (n + r * n_h).tanh() + z * h, c
    return ((own + past).relu() if kind == "rnn-relu" else (own + past).tanh()), c


def unroll(kind: str, model: Any, x: Tensor) -> tuple[Tensor, dict[tuple[str, int, int], list]]:
    """Outputs of the top layer, and all states (name, layer, direction) in their own time."""
    seen: dict[tuple[str, int, int], list] = {}
    for layer in range(model.num_layers):
        outputs = []
        for direction in range(2 if model.bidirectional else 1):
            end = f"l{layer}" + ("_reverse" if direction else "")
            names = {"ih": "weight_ih", "hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}
            p = {short: getattr(model, f"{name}_{end}") for short, name in names.items()}
            h, c = (torch.zeros(COLUMNS, H, dtype=x.dtype, requires_grad=True) for _ in "hc")
            hs, cs = [h], [c]
            for t in reversed(range(STEPS)) if direction else range(STEPS):
                h, c = step(kind, p, x[t], h, c)
                hs.append(h)
                cs.append(c)
            seen["h", layer, direction] = hs
            if kind == "lstm":
                seen["c", layer, direction] = cs
            outputs.append(torch.stack(hs[1:][::-1] if direction else hs[1:]))
        x = torch.cat(outputs, dim=-1)
    for states in seen.values():
        for state in states:
            state.retain_grad()
    return x, seen


def log_norms(gradients: list[Any]) -> np.ndarray[Any, Any]:
    """log10 norms (sequence, step); None is a gradient that autograd never met: zero."""
    zero = torch.zeros(COLUMNS, H)
    each = [torch.linalg.norm(zero if g is None else g, dim=1) for g in gradients]
    with np.errstate(divide="ignore"):
        return np.log10(torch.stack(each, dim=1).numpy())


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
    imported = read(tmp_path / "w.npz", options=asked)
    net = Network.of(imported.cell, F, layers, both)

    x = torch.randn(STEPS, COLUMNS, F, dtype=torch.float64, requires_grad=True)
    loss = unit(net, 1, COLUMNS, at)
    v = torch.from_numpy(loss.direction[0].T.copy())
    outputs, seen = unroll(name, model, x)
    scalar(outputs, v, at).backward()
    drives = x.detach().numpy().transpose(0, 2, 1)[:, None]
    found = norms(net, imported.weights, drives, loss)
    for (what, layer, direction), states in seen.items():
        wanted = log_norms([state.grad for state in states])
        np.testing.assert_allclose(found[what][0, layer, direction], wanted, rtol=0, atol=DECADES)

    again = x.detach().clone().requires_grad_()
    zero = torch.zeros(layers * (1 + both), COLUMNS, H, dtype=torch.float64)
    initial = [zero.clone().requires_grad_() for _ in imported.cell.parts]
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
    wanted = log_norms(list(again.grad))
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
