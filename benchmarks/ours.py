"""gradflow: the forward pass, the adjoints of all lengths, and everything it records (h, c and s).

Memory is held between passes and its plan is in the time, as in a run; drawing weights is not, as
for the peers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.workloads import GATES, Problem, Workload
from gradflow.core import cells
from gradflow.core.cells import Cell
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Work
from gradflow.core.network.losses import Probe
from gradflow.core.network.stack import Network
from gradflow.core.record import Norms, Timeline
from gradflow.experiment.workers.executor import hold_memory

RECORDED = ("h", "c", "s")


def prepare(
    problem: Problem, recorder: type[Norms] = Norms
) -> Callable[[], list[dict[str, np.ndarray]]]:
    hold_memory()
    work = problem.work
    cell = _cell(work)
    net = Network.of(cell, work.inputs, work.layers, work.bidirectional)
    weights = tuple(
        tuple(_weights(cell, work.cell, p, net.features(layer)) for p in directions)
        for layer, directions in enumerate(problem.weights)
    )
    loss = Probe(problem.probe, at=work.at)
    x = problem.x[:, None]
    plan = Work(
        net=net,
        nets=work.nets,
        columns=work.sequences,
        lengths=work.lengths,
        records=sum(t + 1 for t in work.lengths) * len(RECORDED),
        dtype=problem.dtype,
    )

    def run() -> list[dict[str, np.ndarray]]:
        norms = recorder(Timeline(net, loss, work.lengths, work.nets, work.sequences), RECORDED)
        backpropagate(net, weights, x, loss, work.lengths, [norms], plan.schedule())
        return [
            {
                name: series.values[series.lengths.index(length)].transpose(1, 2, 0, 3, 4)
                for name, series in norms.series.items()
            }
            for length in work.lengths
        ]

    return run


def _cell(work: Workload) -> Cell:
    kind, options = {
        "peephole": ("lstm", {"peephole": "diagonal"}),
        "coupled": ("lstm", {"coupled": True}),
        "gru": ("gru", {"reset": "after"}),
    }.get(work.cell, (work.cell, {}))
    return cells.get(kind)(hidden=work.hidden, **options)


def _weights(
    cell: Cell, name: str, drawn: Mapping[str, np.ndarray], inputs: int
) -> dict[str, np.ndarray]:
    """Put the drawn gates into the cell's own order."""
    given = {"P": ("f", "i", "o"), "b_rec": ("g",)}
    out = {}
    for key, parameter in cell.parameters(inputs).items():
        gates = given.get(key, GATES[name])
        blocks = dict(zip(gates, np.split(drawn[key], len(gates), axis=1), strict=True))
        out[key] = np.concatenate([blocks[gate] for gate in parameter.blocks], axis=1)
    return out
