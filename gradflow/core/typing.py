"""The two array types that every signature of the core uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
"""Feature-major: ``(nets, features, columns)``, with time in front where there is any."""

Params: TypeAlias = Mapping[str, Array]
"""The parameters of one cell by name (``U``, ``W``, ``b``, …), each ``(nets, rows, cols)``."""

DType: TypeAlias = np.dtype[Any]
