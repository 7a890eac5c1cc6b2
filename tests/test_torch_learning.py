"""Updates and trajectories against PyTorch's optimisers, from the same start, with clipping."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.extras

from gradflow.core.cells import GRU, LSTM, RNN  # noqa: E402
from gradflow.core.inputs import TASKS  # noqa: E402
from gradflow.core.learning.feed import Feed  # noqa: E402
from gradflow.core.learning.loop import Rules, Trainer  # noqa: E402
from gradflow.core.learning.objective import Objective  # noqa: E402
from gradflow.core.learning.optimisers import SGD, Adam, Clip, Momentum, RMSprop  # noqa: E402
from gradflow.core.learning.parameters import Layout  # noqa: E402
from gradflow.core.network.readout import Head  # noqa: E402
from gradflow.core.network.stack import Network  # noqa: E402

H, STEPS, BATCH = 3, 7, 4

ORDER = {"lstm": "ifgo", "gru": "rzg", "rnn": "g"}
"""PyTorch's gates in its order, by our letters."""

SIGNS = {"z": -1.0}
"""PyTorch's z keeps where ours lets go: its pre-activation has the other sign."""

RULES = [
    (SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    (Momentum(0.05), lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)),
    (
        Momentum(0.05, momentum=0.8, nesterov=True),
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.8, nesterov=True),
    ),
    (RMSprop(0.01, decay=0.9), lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.9)),
    (Adam(0.01), lambda p: torch.optim.Adam(p, 0.01)),
]

CLIPS = {
    "free": Clip(),
    "norm": Clip(norm=0.05),
    "value": Clip(value=0.01),
}


class Twin(torch.nn.Module):
    """The same net, its biases in one place as ours are."""

    def __init__(self, cell, weights, head):
        super().__init__()
        kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell.kind]
        self.net = kind(2, H).double()
        self.readout = torch.nn.Linear(H, 1).double()
        own = dict(
            zip(cell.gates, np.split(np.arange(len(cell.gates) * H), len(cell.gates)), strict=True)
        )
        self.rows = np.concatenate([own[gate] for gate in ORDER[cell.kind]])
        self.signs = np.repeat([SIGNS.get(gate, 1.0) for gate in ORDER[cell.kind]], H)[:, None]
        with torch.no_grad():
            for name, ours in (("weight_ih_l0", "U"), ("weight_hh_l0", "W")):
                self.put(getattr(self.net, name), weights[ours][0])
            self.put(self.net.bias_ih_l0, weights["b"][0])
            self.net.bias_hh_l0.zero_()
            if "b_rec" in weights:
                self.net.bias_hh_l0[2 * H :] = torch.tensor(weights["b_rec"][0, :, 0])
            self.readout.weight.copy_(torch.tensor(head["V"][0]))
            self.readout.bias.copy_(torch.tensor(head["b"][0, :, 0]))
        if cell.kind == "gru":  # of the recurrent biases ours has the candidate's alone
            self.net.bias_hh_l0.register_hook(
                lambda g: torch.cat([torch.zeros(2 * H, dtype=g.dtype), g[2 * H :]])
            )
        else:
            self.net.bias_hh_l0.requires_grad_(False)

    def put(self, parameter, ours):
        parameter.copy_(torch.tensor((ours[self.rows] * self.signs).reshape(parameter.shape)))

    def taken(self):
        """Parameters in our order, as one row."""
        back = np.argsort(self.rows)
        each = []
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0"):
            a = getattr(self.net, name).detach().numpy()
            each.append((a.reshape(len(a), -1) * self.signs)[back].ravel())
        if isinstance(self.net, torch.nn.GRU):
            each.append(self.net.bias_hh_l0.detach().numpy()[2 * H :])
        each += [p.detach().numpy().ravel() for p in (self.readout.weight, self.readout.bias)]
        return np.concatenate(each)

    def forward(self, x):
        h, _ = self.net(x)
        return self.readout(h[-1])


def draw(count, rng):
    return TASKS.get("adding")().draw(STEPS, count, rng)


def trajectories(cell, rule, make, clip, updates):
    """Ours and PyTorch's parameters after every update."""
    net, objective = Network.of(cell, 2), Objective("mse", Head(1))
    layout = Layout(net, objective.head)
    theta = 0.5 * np.random.default_rng(1).standard_normal((1, layout.size))
    weights, head = layout.views(theta)
    twin = Twin(cell, weights[0][0], head)
    optimiser = make([p for p in twin.parameters() if p.requires_grad])
    rules = Rules(rule, clip, watch=tuple(range(1, updates + 1)))
    trainer = Trainer(net, objective, theta, Feed(draw, STEPS, [0], BATCH), rules)
    feed = Feed(draw, STEPS, [0], BATCH)
    for update, window in enumerate(trainer.windows()):
        asked = feed(update)
        x = torch.tensor(asked.x[:, 0].transpose(0, 2, 1).copy())
        target = torch.tensor(asked.targets[-1, 0].T.copy())
        optimiser.zero_grad()
        ((twin(x) - target) ** 2).mean().backward()
        if clip.norm is not None:
            torch.nn.utils.clip_grad_norm_(twin.parameters(), clip.norm)
        if clip.value is not None:
            torch.nn.utils.clip_grad_value_(twin.parameters(), clip.value)
        optimiser.step()
        yield window.theta[0], twin.taken()


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize(("rule", "make"), RULES, ids=lambda rule: getattr(rule, "kind", ""))
@pytest.mark.parametrize("cell", [RNN(H), LSTM(H), GRU(H, reset="after")], ids=lambda c: c.label)
def test_one_update_to_1e_12_and_two_hundred_to_1e_8(cell, rule, make, clip):
    for count, (ours, theirs) in enumerate(trajectories(cell, rule, make, CLIPS[clip], 200), 1):
        bound = 1e-12 if count == 1 else 1e-8
        assert np.linalg.norm(ours - theirs) <= bound * np.linalg.norm(theirs), count
