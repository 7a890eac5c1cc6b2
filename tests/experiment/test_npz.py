from __future__ import annotations

import io
import time

import numpy as np
import pytest

from gradflow.core.quantity import Quantity
from gradflow.experiment.store.whole import decode, encode


def a_result() -> dict[str, Quantity]:
    values = np.array([[[[0.0, -np.inf, -0.0]]]], order="F")
    coords = {
        "step": np.arange(3),
        "direction": np.array(["forward"]),
        "lag": np.array([[2, 1, 0]], dtype=np.int32),
    }
    dims = ("layer", "direction", "sequence", "step")
    return {
        "s": Quantity("s", dims, values, coords),
        "loss": Quantity("loss", (), np.array(1.5), unit="nats"),
    }


def test_a_result_comes_back_exactly() -> None:
    result = a_result()
    back = decode(encode(result, {}))
    assert list(back) == list(result)
    for name, quantity in result.items():
        assert back[name].name == quantity.name
        assert back[name].dims == quantity.dims
        assert back[name].unit == quantity.unit
        assert back[name].values.dtype == quantity.values.dtype
        assert back[name].values.shape == quantity.values.shape
        assert back[name].values.tobytes() == quantity.values.tobytes()
        assert list(back[name].coords) == list(quantity.coords)
        for axis, labels in quantity.coords.items():
            assert back[name].coords[axis].dtype == labels.dtype
            np.testing.assert_array_equal(back[name].coords[axis], labels)


def test_equal_results_give_equal_bytes_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = encode(a_result(), {})
    monkeypatch.setattr(time, "time", lambda: 2e9)
    again = a_result()
    again["s"] = Quantity("s", again["s"].dims, again["s"].values.copy("C"), again["s"].coords)
    assert encode(again, {}) == first


def test_numpy_opens_the_file_without_gradflow() -> None:
    with np.load(io.BytesIO(encode(a_result(), {})), allow_pickle=False) as archive:
        assert archive["s"].shape == (1, 1, 1, 3)
        assert archive["s/step"].tolist() == [0, 1, 2]


def test_python_objects_are_refused() -> None:
    objects = Quantity("odd", ("n",), np.array([object()]))
    with pytest.raises(ValueError, match="Python objects"):
        encode({"odd": objects}, {})
