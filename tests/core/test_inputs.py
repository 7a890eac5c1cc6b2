"""Every generator against an independent reading of its task, and the laws that hold for all."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradflow.core.inputs import TASKS, series_stream, symbol_stream
from gradflow.core.inputs.reber import SYMBOLS as REBER
from gradflow.core.inputs.symbols import SYMBOLS as TEMPORAL
from gradflow.core.inputs.task import sequence_streams
from gradflow.errors import UserError
from tests.work import calls

LENGTHS = st.integers(25, 60)
SEEDS = st.integers(0, 2**32)


def letters(batch, column, alphabet):
    x = batch.x[:, 0, :, column]
    assert set(np.unique(x)) <= {0.0, 1.0}
    np.testing.assert_array_equal(x.sum(axis=1), 1.0)
    return "".join(alphabet[k] for k in x.argmax(axis=1))


def draw(kind, steps, sequences, seed, **options):
    return TASKS.get(kind)(**options).draw(steps, sequences, seed)


def same(a, b):
    np.testing.assert_array_equal(a.x, b.x)
    assert (a.targets is None) == (b.targets is None)
    if a.targets is not None:
        np.testing.assert_array_equal(a.targets, b.targets)


# --- all kinds ---------------------------------------------------------------------------------

DRAWN = [kind for kind in TASKS.names() if kind not in ("digits", "file")]
"""Tasks that are drawn, not read."""


@pytest.mark.parametrize("kind", DRAWN)
def test_shapes_are_as_declared(kind):
    task = TASKS.get(kind)()
    steps = task.shortest + 3
    batch = task.draw(steps, 4, 0)
    assert batch.x.shape == (steps, 1, task.features, 4)
    assert batch.x.dtype == np.float64
    assert np.isfinite(batch.x).all()
    assert batch.target_kind == task.target_kind
    assert batch.prefix == task.prefix
    if batch.target_kind == "values":
        assert batch.targets.shape == (steps, 1, batch.outputs, 4)
        assert batch.targets.dtype == np.float64
    elif batch.target_kind == "classes":
        assert batch.targets.shape == (steps, 1, 4)
        assert np.issubdtype(batch.targets.dtype, np.integer)
        assert batch.targets.min() >= -1
        assert batch.targets.max() < batch.classes == batch.outputs
        assert (batch.targets[-1] >= 0).all()
    else:
        assert batch.targets is None
        assert batch.outputs == 0


@pytest.mark.parametrize("kind", DRAWN)
def test_a_sequence_is_the_same_whatever_the_number_of_sequences(kind):
    few, many = (draw(kind, 40, n, 5) for n in (2, 7))
    np.testing.assert_array_equal(few.x, many.x[..., :2])
    if few.targets is not None:
        np.testing.assert_array_equal(few.targets, many.targets[..., :2])


@pytest.mark.parametrize("kind", DRAWN)
def test_sequences_and_seeds_differ(kind):
    task = TASKS.get(kind)()
    one, other = (task.draw(200, 2, seed) for seed in (0, 1))
    assert not np.array_equal(one.x[..., 0], one.x[..., 1])
    assert not np.array_equal(one.x, other.x)
    same(one, task.draw(200, 2, 0))


@pytest.mark.parametrize("kind", [k for k in DRAWN if TASKS.get(k).prefix])
@given(steps=st.integers(1, 40), more=st.integers(0, 40), seed=SEEDS)
@settings(max_examples=15)
def test_a_stream_begins_the_same_at_every_length(kind, steps, more, seed):
    generate = partial(draw, kind)
    short, long = generate(steps, 3, seed), generate(steps + more, 3, seed)
    np.testing.assert_array_equal(short.x, long.x[:steps])
    if short.targets is not None:
        np.testing.assert_array_equal(short.targets, long.targets[:steps])


@pytest.mark.parametrize("kind", DRAWN)
def test_the_shortest_length_works_and_a_shorter_one_is_refused(kind):
    task = TASKS.get(kind)()
    least = task.shortest
    assert len(task.draw(least, 2, 0).x) == least
    with pytest.raises(ValueError, match=f"{kind}.* needs a length of at least {least}, not"):
        task.draw(least - 1, 2, 0)


@pytest.mark.parametrize("kind", DRAWN)
def test_a_long_draw_makes_few_calls(kind):
    symbols = 16 * 11_500
    assert calls(lambda: draw(kind, 11_500, 16, 0)) < 3 * symbols


def test_unknown_kind():
    with pytest.raises(UserError):
        TASKS.get("nose")


# --- noise -------------------------------------------------------------------------------------


def test_noise_has_its_moments():
    x = draw("noise", 20_000, 3, 0, features=2, scale=2.5).x
    assert x.shape == (20_000, 1, 2, 3)
    assert abs(x.mean()) < 5 * 2.5 / np.sqrt(x.size)
    assert abs(x.var() / 2.5**2 - 1) < 5 * np.sqrt(2 / x.size)
    neighbours = np.corrcoef(x[:-1, 0, 0, 0], x[1:, 0, 0, 0])[0, 1]
    assert abs(neighbours) < 5 / np.sqrt(20_000)


def test_silence():
    x = draw("noise", 10, 2, 0, scale=0.0).x
    assert not x.any()
    assert not np.signbit(x).any()


def test_scale_is_a_factor():
    one, two = (draw("noise", 10, 2, 0, scale=s).x for s in (1.0, 2.0))
    np.testing.assert_array_equal(2 * one, two)


def test_noise_is_drawn_from_each_sequence_s_own_stream():
    x = draw("noise", 10, 2, 7, features=3, scale=1.5).x
    for j, rng in sequence_streams(7, "noise", 2):
        np.testing.assert_array_equal(x[:, 0, :, j], 1.5 * rng.standard_normal((10, 3)))


def test_noise_needs_a_feature():
    with pytest.raises(ValueError, match="at least 1 feature, not 0"):
        draw("noise", 10, 2, 0, features=0)


# --- adding ------------------------------------------------------------------------------------


@given(steps=st.integers(2, 60), seed=SEEDS)
@settings(max_examples=40)
def test_adding(steps, seed):
    batch = draw("adding", steps, 3, seed)
    value, marker = batch.x[:, 0, 0], batch.x[:, 0, 1]
    assert ((value >= 0) & (value < 1)).all()
    assert set(np.unique(marker)) <= {0.0, 1.0}
    half = steps // 2
    np.testing.assert_array_equal(marker[:half].sum(axis=0), 1)
    np.testing.assert_array_equal(marker[half:].sum(axis=0), 1)
    np.testing.assert_allclose(batch.targets[-1, 0, 0], (value * marker).sum(axis=0), rtol=1e-15)
    assert np.isnan(batch.targets[:-1]).all()


def test_adding_marks_every_place():
    marker = draw("adding", 7, 400, 0).x[:, 0, 1]
    assert (marker.sum(axis=1) > 0).all()


# --- copy --------------------------------------------------------------------------------------


@given(symbols=st.integers(1, 9), memory=st.integers(1, 8), extra=st.integers(0, 30), seed=SEEDS)
@settings(max_examples=40)
def test_copy(symbols, memory, extra, seed):
    steps = 2 * memory + 1 + extra
    batch = draw("copy", steps, 3, seed, symbols=symbols, memory=memory)
    assert batch.classes == symbols + 1
    blank, delimiter = symbols, symbols + 1
    codes = batch.x[:, 0].argmax(axis=1)
    np.testing.assert_array_equal(batch.x.sum(axis=2), 1)
    assert codes[:memory].max() < symbols
    assert (codes[memory : memory + extra] == blank).all()
    assert (codes[memory + extra] == delimiter).all()
    assert (codes[memory + extra + 1 :] == blank).all()
    assert len(codes) - (memory + extra + 1) == memory
    expected = np.concatenate([np.full((steps - memory, 3), blank), codes[:memory]])
    np.testing.assert_array_equal(batch.targets[:, 0], expected)


def test_copy_needs_symbols_and_room():
    assert TASKS.get("copy")(memory=4).shortest == 9
    with pytest.raises(ValueError, match="copy with a memory of 4 needs a length of at least 9"):
        draw("copy", 8, 1, 0, memory=4)
    with pytest.raises(ValueError, match="at least 1 symbol and a memory of 1, not 0 and 10"):
        draw("copy", 40, 1, 0, symbols=0)


# --- temporal order ----------------------------------------------------------------------------


@given(steps=st.integers(10, 130), seed=SEEDS)
@settings(max_examples=60)
def test_temporal_order(steps, seed):
    batch = draw("temporal-order", steps, 3, seed)
    for column in range(3):
        text = letters(batch, column, TEMPORAL)
        assert text[0] == "E"
        assert text[-1] == "B"
        first, second = (t for t, letter in enumerate(text) if letter in "XY")
        assert steps // 10 <= first <= steps // 5
        assert steps // 2 <= second <= 3 * steps // 5
        rest = {letter for t, letter in enumerate(text[1:-1], 1) if t not in (first, second)}
        assert rest <= set("abcd")
        assert batch.targets[-1, 0, column] == ["XX", "XY", "YX", "YY"].index(
            text[first] + text[second]
        )
    assert (batch.targets[:-1] == -1).all()


def test_temporal_order_reaches_the_windows_of_the_paper_and_all_classes():
    batch = draw("temporal-order", 100, 600, 0)
    texts = [letters(batch, column, TEMPORAL) for column in range(600)]
    places = [[t for t, letter in enumerate(text) if letter in "XY"] for text in texts]
    assert {first for first, _ in places} == set(range(10, 21))
    assert {second for _, second in places} == set(range(50, 61))
    assert set(batch.targets[-1, 0]) == {0, 1, 2, 3}


# --- reber -------------------------------------------------------------------------------------

# The grammar as words: after which symbols in which place what may follow, read off the published
# diagram. Node 1 loops on S, node 2 on T; X and P lead back.
DIAGRAM = {
    ("start", "T"): "upper",
    ("start", "P"): "lower",
    ("upper", "S"): "upper",
    ("upper", "X"): "upper right",
    ("lower", "T"): "lower",
    ("lower", "V"): "lower right",
    ("upper right", "X"): "lower",
    ("upper right", "S"): "end",
    ("lower right", "P"): "upper right",
    ("lower right", "V"): "end",
}


def is_reber(text):
    node = "start"
    if not (text.startswith("B") and text.endswith("E")):
        return False
    for letter in text[1:-1]:
        node = DIAGRAM.get((node, letter))
    return node == "end"


def strings(text):
    """Cut a stream into its strings: each is B p (Reber string) p E, whose own E is the second."""
    found = []
    while True:
        end = text.find("E", text.find("E") + 1)
        if "E" not in text or end < 0:
            return found, text
        found.append(text[: end + 1])
        text = text[end + 1 :]


def test_the_published_examples_are_reber_strings():
    for text in ("BTXSE", "BPVVE", "BTSSXXTVVE", "BPTVPSE", "BTSSSXXTTVPXVPSE"):
        assert is_reber(text)
    assert not is_reber("BTSSPXSE")
    assert not is_reber("BPTVVB")


def test_reber_streams_are_strings_of_the_embedded_grammar():
    batch = draw("reber", 4000, 4, 0)
    found = []
    for column in range(4):
        text = letters(batch, column, REBER)
        whole, rest = strings(text)
        assert "".join(whole) + rest == text
        found += whole
    for string in found:
        assert string[0] == "B"
        assert string[-1] == "E"
        assert string[1] == string[-2]
        assert string[1] in "TP"
        assert is_reber(string[2:-2])
    assert {string[1] for string in found} == {"T", "P"}
    lengths = np.array([len(string) - 4 for string in found])
    assert lengths.min() == 5
    assert abs(lengths.mean() - 8) < 5 * lengths.std() / np.sqrt(len(lengths))


def test_reber_targets_are_the_next_symbols():
    batch = draw("reber", 50, 3, 1)
    longer = draw("reber", 51, 3, 1)
    np.testing.assert_array_equal(batch.targets[:, 0], longer.x[1:, 0].argmax(axis=1))


# --- distractors -------------------------------------------------------------------------------


@given(steps=st.integers(2, 60), seed=SEEDS, scale=st.floats(0, 10))
@settings(max_examples=40)
def test_distractors(steps, seed, scale):
    batch = draw("distractors", steps, 3, seed, scale=scale)
    value, store, recall = (batch.x[:, 0, k] for k in range(3))
    assert set(np.abs(value[0])) == {1.0}
    assert not value[-1].any()
    np.testing.assert_array_equal(store, (np.arange(steps) == 0)[:, None] * np.ones(3))
    np.testing.assert_array_equal(recall, (np.arange(steps) == steps - 1)[:, None] * np.ones(3))
    np.testing.assert_array_equal(batch.targets[-1, 0, 0], value[0])
    assert not batch.targets[:-1].any()


def test_distractors_between_the_cues_are_noise_of_their_scale():
    value = draw("distractors", 20_002, 2, 0, scale=0.3).x[1:-1, 0, 0]
    assert abs(value.std() / 0.3 - 1) < 5 / np.sqrt(2 * value.size)
    stored = draw("distractors", 2, 100, 0).x[0, 0, 0]
    assert set(stored) == {-1.0, 1.0}


# --- streams -----------------------------------------------------------------------------------


def test_series_stream():
    series = np.arange(24).reshape(2, 4, 3)
    batch = series_stream(series)
    assert batch.x.shape == (4, 1, 3, 2)
    assert batch.x.dtype == np.float64
    np.testing.assert_array_equal(batch.x[2, 0, :, 1], series[1, 2])
    np.testing.assert_array_equal(batch.targets[:3], batch.x[1:])
    assert np.isnan(batch.targets[3]).all()
    assert batch.outputs == 3
    short = series_stream(series, 2)
    np.testing.assert_array_equal(short.x, batch.x[:2])
    np.testing.assert_array_equal(short.targets, batch.targets[:2])


def test_symbol_stream():
    codes = np.array([[0, 2, 1, 1], [1, 1, 0, 2]])
    batch = symbol_stream(codes, 3)
    np.testing.assert_array_equal(batch.x[:, 0].argmax(axis=1), codes.T)
    np.testing.assert_array_equal(batch.targets[:, 0], [[2, 1], [1, 0], [1, 2], [-1, -1]])
    assert batch.outputs == batch.classes == 3
    same(symbol_stream(codes, 3, 3), symbol_stream(codes[:, :4], 3, 3))


def test_a_stream_cannot_be_longer_than_its_data():
    with pytest.raises(ValueError, match="have 4 steps, fewer than the length 5"):
        series_stream(np.zeros((1, 4, 1)), 5)
    with pytest.raises(ValueError, match="a stream needs a length of at least 1, not 0"):
        symbol_stream(np.zeros((1, 0), dtype=int), 2)


# --- the tasks of 1997 -------------------------------------------------------------------------


@given(steps=st.integers(26, 120), seed=SEEDS)
@settings(max_examples=30)
def test_adding_and_multiplication_of_1997(steps, seed):
    for batch, low, nothing, answer in (
        (TASKS.get("adding")(form="hochreiter").draw(steps, 4, seed), -1, 0, None),
        (TASKS.get("multiplication")().draw(steps, 4, seed), 0, 1, 1),
    ):
        value, marker = batch.x[:, 0, 0], batch.x[:, 0, 1]
        assert (value >= low).all()
        assert ((value < 1) | ((value == nothing) & (marker == 1)))[0].all()
        assert (value[1:] < 1).all()
        for j in range(4):
            marked = np.flatnonzero(marker[:, j] == 1)
            assert len(marked) == 2
            assert marked[0] < 10
            assert marked[1] < steps // 2 - 1
            assert marked[0] or value[0, j] == nothing
            a, b = value[marked, j]
            want = a * b if answer else 0.5 + (a + b) / 4
            assert batch.targets[-1, 0, 0, j] == pytest.approx(want, rel=1e-15)
            others = np.delete(marker[:, j], marked)
            assert (others[1:-1] == 0).all() or marked[0] == 0
            assert marker[-1, j] == -1
            assert marker[0, j] == (1 if marked[0] == 0 else -1)
        assert np.isnan(batch.targets[:-1]).all()


@pytest.mark.parametrize("marks", [2, 3])
def test_temporal_order_of_1997(marks):
    batch = TASKS.get("temporal-order")(marks=marks).draw(100, 300, 0)
    windows = {2: [(10, 20), (50, 60)], 3: [(10, 20), (33, 43), (66, 76)]}[marks]
    found = set()
    for j in range(300):
        text = letters(batch, j, TEMPORAL)
        at = [t for t, letter in enumerate(text) if letter in "XY"]
        assert all(lo <= t <= hi for t, (lo, hi) in zip(at, windows, strict=True))
        bits = "".join("01"[text[t] == "Y"] for t in at)
        assert batch.targets[-1, 0, j] == int(bits, 2)
        found.add(bits)
    assert len(found) == batch.classes == 2**marks


def test_single_strings_of_reber():
    batch = TASKS.get("reber")(strings="single").draw(30, 200, 3)
    lengths = set()
    for j in range(200):
        asked = batch.targets[:, 0, j] >= 0
        n = int(asked.sum())
        assert asked[:n].all()
        assert not batch.x[n:, ..., j].any()
        x = batch.x[:n, 0, :, j].argmax(axis=-1)
        text = "".join(REBER[k] for k in [*x, batch.targets[n - 1, 0, j]])
        assert text[1] == text[-2]
        assert text[0] + text[-1] == "BE"
        np.testing.assert_array_equal(batch.targets[: n - 1, 0, j], x[1:])
        right = batch.allowed[np.arange(n), 0, batch.targets[:n, 0, j], j]
        assert right.all()
        assert set(batch.allowed[:n, 0, :, j].sum(axis=-1)) <= {1, 2}
        lengths.add(n)
    assert min(lengths) == 8
    assert max(lengths) <= 30


def test_noise_free_lags():
    same = TASKS.get("noise-free-lag")(symbols=9).draw(9, 20, 0)
    for j in range(20):
        codes = same.x[:, 0, :, j].argmax(axis=-1)
        assert codes[0] in (8, 9)
        assert list(codes[1:]) == list(range(8))
        assert list(same.targets[:, 0, j]) == [*range(8), codes[0]]
    other = TASKS.get("noise-free-lag")(symbols=9, order="random").draw(9, 20, 0)
    assert (other.targets[:-1] == -1).all()
    np.testing.assert_array_equal(other.targets[-1, 0], other.x[0, 0].argmax(axis=0))
    assert len({tuple(other.x[1:, 0, :, j].argmax(axis=-1)) for j in range(20)}) == 20


def test_noisy_lags():
    batch = TASKS.get("noisy-lag")(distractors=5).draw(20, 50, 0)
    codes = batch.x[:, 0].argmax(axis=1)
    assert (codes[0] == 5).all()
    assert (codes[-1] == 6).all()
    assert codes[2:-1].max() < 5
    np.testing.assert_array_equal(batch.targets[-1, 0], codes[1] - 7)


@pytest.mark.parametrize("noise", ["after", "all", "targets"])
def test_two_sequences(noise):
    batch = TASKS.get("two-sequence")(informative=2, noise=noise).draw(400, 300, 0)
    signal, rest = batch.x[:2, 0, 0], batch.x[2:, 0, 0]
    assert rest.var() == pytest.approx(0.2, rel=0.02)
    which = np.sign(signal.mean(axis=0))
    targets = batch.targets[-1, 0, 0]
    if noise == "after":
        assert set(signal.ravel()) == {-1.0, 1.0}
        np.testing.assert_array_equal(targets, (which + 1) / 2)
    else:
        assert np.corrcoef(signal.mean(axis=0), targets)[0, 1] > 0.5
    if noise == "targets":
        assert 0.05 < np.var(targets) < 0.4
    else:
        assert set(targets) == {0.0, 1.0}


@pytest.mark.parametrize("noise", ["after", "all", "targets"])
def test_two_sequences_are_tested_by_targets_without_noise(noise):
    task = TASKS.get("two-sequence")(noise=noise)
    taught, asked = task.draw(50, 30, 0), task.draw_test(50, 30, 0)
    expected = {0.2, 0.8} if noise == "targets" else {0.0, 1.0}
    assert set(np.round(asked.targets[-1, 0, 0], 12)) == expected
    assert np.array_equal(taught.targets[-1], asked.targets[-1]) == (noise != "targets")
