"""Sequences of a file that end at lengths of their own, from the experiment file to the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradflow
from gradflow.errors import ConfigError, UserError
from gradflow.report.export.tidy import tidy_rows
from gradflow.report.figures import plot

RNG = np.random.default_rng(0)
OWN = (6, 3, 5)
X = RNG.normal(size=(3, 6, 2))
RECORD = {
    "states": ["h", "c", "x"], "flow_map": True, "gates": True, "paths": True, "contributions": True
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Any:
    """All sequences in one file, padded with NaN, and each in one of its own."""
    folder = tmp_path_factory.mktemp("data")
    padded = np.where(np.arange(6)[:, None] < np.array(OWN)[:, None, None], X, np.nan)
    np.savez(folder / "all.npz", x=padded, lengths=OWN)
    for j, n in enumerate(OWN):
        np.savez(folder / f"{j}.npz", x=X[j : j + 1, :n])
    return folder


def experiment(path: Any, at: Any = "last", both: bool = False, **more: Any) -> Any:
    given = {
        "model": {"cell": "lstm", "hidden": 3, "layers": 2, "bidirectional": both},
        "inputs": {"kind": "file", "path": str(path)},
        "loss": {"kind": "sum", "at": at},
        "record": RECORD,
    }
    return gradflow.configure(**{**given, **more})


@pytest.mark.parametrize(
    ("kind", "at", "both"),
    [("mse", "all", False), ("mse", "all", True), ("sum", "ends", True), ("sum", (2, 5), True)],
)
def test_each_as_if_alone(files, kind, at, both):
    """All that is recorded, lags counted from each one's own end, and the last loss by itself."""
    loss = {"kind": kind, "at": at}
    flow = gradflow.run(experiment(files / "all.npz", both=both, loss=loss))
    found, rows = flow.source.result(flow.points[0]), flow.rows("h")
    each: dict[tuple[int, str], list[tuple[float, int]]] = {}
    for j, n in enumerate(OWN):
        within = tuple(t for t in at if t <= n) if isinstance(at, tuple) else at
        loss = {"kind": kind, "at": within}
        alone = gradflow.run(experiment(files / f"{j}.npz", both=both, loss=loss))
        for name, wanted in alone.source.result(alone.points[0]).items():
            axis = found[name].dims.index("sequence")
            own = np.moveaxis(found[name].values, axis, 0)[j]
            rest = np.squeeze(wanted.values, axis)
            if "loss_step" in wanted.dims:  # those of the longest come first
                own = own[..., -rest.shape[-2] :, :]
            if "step" in wanted.dims:
                assert np.isnan(own[..., rest.shape[-1] :]).all(), name
                own = own[..., : rest.shape[-1]]
            np.testing.assert_array_equal(np.isfinite(own), np.isfinite(rest), err_msg=name)
            np.testing.assert_allclose(own[np.isfinite(own)], rest[np.isfinite(rest)], rtol=1e-9)
        for row in alone.rows("h"):
            one = row.summary
            each.setdefault((one.layer, one.direction), []).append((one.decades, one.lags))
    for row in rows:
        decades, lags = zip(*each[row.summary.layer, row.summary.direction], strict=True)
        assert row.summary.decades == pytest.approx(float(np.median(decades)), rel=1e-9)
        assert row.summary.lags == max(lags)


def test_what_is_kept_shown_and_drawn(files, tmp_path):
    """A run is read, exported and drawn without rows for steps that no sequence has."""
    flow = gradflow.run(experiment(files / "all.npz"), out=tmp_path)
    for rows in tidy_rows(flow.source):
        sequence, name = rows.constant[3], rows.constant[-1]
        if rows.step is not None and name in ("h", "c"):
            assert rows.step.max() == OWN[sequence]
            np.testing.assert_array_equal(rows.lag, OWN[sequence] - rows.step)
            assert np.isfinite(rows.numbers).all()
    for kind in ("gates", "flow"):
        assert plot(flow.source, kind, out=tmp_path / kind, formats=("svg",))
    with pytest.raises(UserError, match="no steps in common"):
        plot(flow.source, x="step")


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"record": {"spectrum": True}}, "record.spectrum"),
        ({"record": {"truncation": {"k1": 1, "k2": [2]}}}, "record.truncation"),
        ({"method": "rtrl", "record": {}}, "method: rtrl"),
    ],
)
def test_what_needs_one_length_says_so(files, more, where):
    with pytest.raises(UserError, match=f"{where}: it follows sequences that end together"):
        gradflow.run(experiment(files / "all.npz", **more))
    gradflow.run(experiment(files / "all.npz", length=3, **more))


def test_lengths_that_are_swept_cut_every_sequence(files):
    flow = gradflow.run(experiment(files / "all.npz", sweep={"length": [2, 4, 6]}))
    ends = [flow.get("h", length=n).coords.get("length") for n in (2, 4, 6)]
    assert ends[0] is None
    assert [end.tolist() for end in ends[1:]] == [[4, 3, 4], list(OWN)]


def test_losses_where_there_is_none(files):
    noted = experiment(files / "all.npz", (4,))
    assert any("1 of 3 sequences end before" in note for note in noted.notes)
    values = gradflow.run(noted).get("h").values
    assert (values[:, :, 1, :4] == -np.inf).all()
    with pytest.raises(ConfigError, match="no step follows the file's last"):
        experiment(files / "all.npz", loss={"kind": "mse", "at": "last"})


def test_nets_learn_from_them(files):
    train = {"updates": 4, "batch": 3, "until": "never", "watch": {"every": 2}}
    more = {"loss": {"kind": "mse", "at": "all"}, "train": train, "record": {"states": ["h"]}}
    flow = gradflow.run(experiment(files / "all.npz", **more))
    assert np.isfinite(flow.get("loss").values).all()
    assert flow.get("h").coords["length"].tolist() == list(OWN)
    with pytest.raises(ConfigError, match="a backward direction would read what follows the end"):
        experiment(files / "all.npz", both=True, **more)
