"""What an imported net gives, to be held against what its own framework gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gradflow.core.engine.forward import forward, outputs
from gradflow.core.engine.tape import Keep
from gradflow.core.network.stack import Network
from gradflow.experiment.models.weights import Imported, read_weights


def given(imported: Imported, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Outputs (batch, steps, features) of the top layer for x (batch, steps, features)."""
    drives = np.asarray(x, np.float64).transpose(1, 2, 0)[:, None]
    net = Network(imported.inputs, imported.stack)
    start = net.initial(1, len(x), drives.dtype, imported.initial)
    tapes, _ = forward(net, imported.weights, drives, start, [(0, len(drives))], keep=Keep.STATES)
    return outputs(tapes[-1])[:, 0].transpose(2, 0, 1)


def agrees(path: Path, x: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> None:
    """Hold a file's net against its framework's float32 outputs."""
    np.testing.assert_allclose(given(read_weights(path), x), wanted, rtol=0, atol=1e-6)
