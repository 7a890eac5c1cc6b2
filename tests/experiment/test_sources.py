"""Inputs as an experiment asks for them, and one clear message for every wrong file."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gradflow.core.registry import options
from gradflow.errors import UserError
from gradflow.experiment.config.by_kind import input_model
from gradflow.experiment.data import reader, reading, sources
from gradflow.experiment.data.sources import TASKS

DIGITS = Path(reading.__file__).parents[1] / "data" / "digits.npz"
RNG = np.random.default_rng(0)


def config(kind, sequences=4, **options):
    return input_model(kind)(kind=kind, sequences=sequences, **options)


def load_file(path, steps=None, sequences=None, columns=None):
    columns = columns and tuple(columns)
    return sources.load_inputs(config("file", sequences, path=str(path), columns=columns), steps, 0)


def message(path, steps=None, sequences=None, columns=None):
    """The error's text, which has to name the file."""
    with pytest.raises(UserError) as caught:
        load_file(path, steps, sequences, columns)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


# --- generated kinds ---------------------------------------------------------------------------


GIVEN = {
    "features": 3,
    "scale": 0.5,
    "symbols": 4,
    "memory": 2,
    "form": "hochreiter",
    "misses": 140,
    "marks": 3,
    "strings": "single",
    "order": "random",
    "distractors": 4,
    "informative": 2,
    "noise": "all",
    "strict": False,
}


@pytest.mark.parametrize("kind", TASKS.names())
def test_a_kind_gets_its_options_from_the_configuration(kind):
    given = {name: GIVEN[name] for name in options(TASKS.get(kind))}
    made = config(kind, **given)
    loaded = sources.load_inputs(made, 30, 7)
    direct = TASKS.get(kind)(**given).draw(30, 4, 7)
    np.testing.assert_array_equal(loaded.x, direct.x)
    assert made.task.target_kind == loaded.target_kind
    if made.task.longest is None:
        with pytest.raises(UserError, match=f"inputs: {kind} has no length of its own"):
            sources.load_inputs(made, None, 0)


def test_what_a_task_refuses_is_the_users_mistake():
    with pytest.raises(UserError, match="inputs: adding needs a length of at least 2, not 1"):
        sources.load_inputs(config("adding"), 1, 0)


# --- digits ------------------------------------------------------------------------------------


def test_digits_are_all_the_pixels_once():
    batch = sources.load_inputs(config("digits", 1), None, 0)
    assert batch.x.shape == (115_008, 1, 1, 1)
    assert batch.prefix
    with np.load(DIGITS) as data:
        images = data["images"]
    read = batch.x.reshape(1797, 64) * 16
    assert not np.array_equal(read, images.reshape(1797, 64))
    key = sorted(map(bytes, read.astype(np.uint8)))
    assert key == sorted(map(bytes, images.reshape(1797, 64)))
    assert batch.x.max() == 1
    assert batch.x.min() == 0


@pytest.mark.parametrize("sequences", [1, 4, 16, 1797])
def test_digits_start_at_images_of_their_own_and_go_round(sequences):
    whole = sources.load_inputs(config("digits", 1), None, 0).x.ravel()
    steps = 200
    batch = sources.load_inputs(config("digits", sequences), steps, 0)
    for j in range(sequences):
        start = j * (1797 // sequences) * 64
        expected = whole[(start + np.arange(steps + 1)) % whole.size]
        np.testing.assert_array_equal(batch.x[:, 0, 0, j], expected[:-1])
        np.testing.assert_array_equal(batch.targets[:, 0, 0, j], expected[1:])


def test_digits_are_a_stream_and_no_seed_changes_them():
    short = sources.load_inputs(config("digits"), 100, 0)
    long = sources.load_inputs(config("digits"), 1000, 5)
    np.testing.assert_array_equal(short.x, long.x[:100])
    np.testing.assert_array_equal(short.targets, long.targets[:100])
    assert config("digits").task.target_kind == short.target_kind == "values"


def test_digits_have_an_end():
    with pytest.raises(UserError, match="digits have 115008 steps, fewer than the length 115009"):
        sources.load_inputs(config("digits"), 115_009, 0)
    with pytest.raises(ValueError, match="1797 images to start at, not 1798"):
        TASKS.get("digits")().draw(10, 1798, 0)


# --- arrays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "u1", ">i2", "?", "g"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_all_real_types(tmp_path, dtype, order):
    array = np.asarray(RNG.integers(0, 2, (3, 5, 2)), dtype=dtype, order=order)
    path = tmp_path / "data.npy"
    np.save(path, array)
    batch = load_file(path)
    assert batch.x.dtype == np.float64
    assert batch.x.shape == (5, 1, 2, 3)
    np.testing.assert_array_equal(batch.x[:, 0].transpose(2, 0, 1), array.astype(float))
    np.testing.assert_array_equal(batch.targets[:-1], batch.x[1:])
    assert np.isnan(batch.targets[-1]).all()


def test_two_axes_are_one_sequence(tmp_path):
    path = tmp_path / "data.NPY"
    path.write_bytes(npy(np.arange(10.0).reshape(5, 2)))
    assert load_file(path).x.shape == (5, 1, 2, 1)


def test_a_file_is_a_stream_and_the_first_sequences_are_taken(tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, RNG.standard_normal((3, 9, 2)))
    whole, part = load_file(path), load_file(path, 4, 2)
    np.testing.assert_array_equal(part.x, whole.x[:4, ..., :2])
    np.testing.assert_array_equal(part.targets, whole.targets[:4, ..., :2])


def test_too_short_or_too_few(tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, np.zeros((3, 9, 2)))
    text = message(path, steps=10)
    assert "has 9 steps, fewer than the 10 asked for" in text
    assert "fix: set `length` to at most 9" in text
    assert "has 3 sequences, fewer than the 4 asked for" in message(path, sequences=4)
    with pytest.raises(UserError, match="length of at least 1, not 0"):
        load_file(path, steps=0)


@pytest.mark.parametrize("shape", [(4,), (), (1, 2, 3, 4), (0, 3, 1), (3, 0, 1), (3, 3, 0)])
def test_wrong_axes(tmp_path, shape):
    path = tmp_path / "data.npy"
    np.save(path, np.zeros(shape))
    text = message(path)
    assert text.startswith(f"the array is shaped {shape if len(shape) != 2 else (1, *shape)}")
    assert "expected: (sequences, steps, features)" in text


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_placed(tmp_path, bad):
    array = np.zeros((2, 5, 3))
    array[1, 2, 0] = bad
    path = tmp_path / "data.npy"
    np.save(path, array)
    assert message(path).startswith(f"the array is {bad} at sequence 1, step 2, feature 0, counted")


def test_beyond_float64(tmp_path):
    if np.finfo(np.longdouble).max == np.finfo(np.float64).max:
        pytest.skip("long double is float64 here")
    path = tmp_path / "data.npy"
    np.save(path, np.full((2, 1), np.longdouble("1e400")))
    assert message(path).startswith("the array is inf at sequence 0, step 0")


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.array([[1j]]), "complex128"),
        (np.array([["a"]]), "str"),
        (np.array([["2024-01-01"]], dtype="M8[D]"), "datetime64"),
        (np.zeros((2, 2), dtype=[("a", float)]), "void"),
    ],
)
def test_other_types(tmp_path, array, what):
    path = tmp_path / "data.npy"
    np.save(path, array)
    text = message(path)
    assert text.startswith(f"holds {what}")
    assert "real numbers" in text


def test_objects_are_not_unpickled(tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, np.array([[{}]], dtype=object), allow_pickle=True)
    assert "holds Python objects" in message(path)
    path.with_suffix(".npz").write_bytes(b"")
    np.savez(path.with_suffix(".npz"), x=np.array([[{}]], dtype=object))
    assert "x: holds Python objects" in message(path.with_suffix(".npz"))


@pytest.mark.parametrize("keep", [1, 7, 40, 130, -1])
def test_a_truncated_array(tmp_path, keep):
    path = tmp_path / "data.npy"
    path.write_bytes(npy(np.zeros((3, 2)))[:keep])
    text = message(path)
    assert "not an array in NumPy's format" in text or "ends after" in text
    assert "fix: write the file again" in text


def test_an_array_with_a_header_of_another_version(tmp_path):
    path = tmp_path / "data.npy"
    path.write_bytes(b"\x93NUMPY\x09\x00" + b" " * 100)
    assert "not an array in NumPy's format" in message(path)


def test_an_array_that_claims_to_be_huge(tmp_path):
    path = tmp_path / "data.npy"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000), }\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    text = message(path)
    assert text.startswith("8,000,000,000,000 bytes are too many")
    assert "at most 1,073,741,824 bytes" in text


# --- archives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_one_array_or_the_one_named_x(tmp_path, save):
    x = RNG.standard_normal((4, 2))
    path = tmp_path / "data.npz"
    save(path, signal=x)
    np.testing.assert_array_equal(load_file(path).x[:, 0, :, 0], x)
    save(path, x=x)
    np.testing.assert_array_equal(load_file(path).x[:, 0, :, 0], x)
    save(path, labels=np.zeros(3), x=x)
    assert message(path).startswith("holds labels beside x, and nothing would come of it")


def test_several_arrays_and_none_named_x(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, b=np.zeros(3), a=np.zeros(3))
    text = message(path)
    assert text.startswith("holds 2 arrays, and none is named x")
    assert "fix: rename one of a, b to x" in text
    np.savez(path)
    assert message(path).startswith("holds no arrays")


def test_a_truncated_archive(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=RNG.standard_normal((40, 2)))
    data = path.read_bytes()
    for keep in (4, 100, len(data) - 5):
        path.write_bytes(data[:keep])
        assert message(path).startswith("not a whole .npz file")


def test_a_damaged_archive(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.ones((40, 2)))
    data = bytearray(path.read_bytes())
    data[400] ^= 1
    path.write_bytes(data)
    assert "not a whole .npz file (Bad CRC-32" in message(path)
    np.savez_compressed(path, x=RNG.standard_normal((40, 2)))
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(data)
    assert message(path).startswith("not a whole .npz file")


def test_an_archive_packed_otherwise(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.npy", npy(np.zeros((2, 2))))
    assert message(path).startswith("not a whole .npz file (packed in a way that NumPy")


def test_a_member_that_is_no_array(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", "hello")
    assert message(path).startswith("x: not an array in NumPy's format")


def test_an_archive_that_unpacks_to_too_much(tmp_path, monkeypatch):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=np.zeros((2000, 2)))
    monkeypatch.setattr(reading, "MAX_BYTES", 10_000)
    assert "32,128 bytes are too many" in message(path)


def test_an_archive_that_unpacks_to_more_than_it_says(tmp_path):
    """A member of 200 MB that claims 1,000 bytes is not unpacked."""
    path = tmp_path / "data.npz"
    huge = npy(np.zeros((125, 1))) + bytes(200_000_000)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", huge)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.rindex(mark) + offset
        data[at : at + 4] = struct.pack("<I", 1128)
    path.write_bytes(data)
    tracemalloc.start()
    assert message(path).startswith("not a whole .npz file")
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_a_header_that_claims_to_be_huge(tmp_path):
    path = tmp_path / "data.npy"
    path.write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 30) + b"(" * 100_000)
    assert "not an array in NumPy's format" in message(path)
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (-4, 1)}\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(32))
    assert "not an array in NumPy's format" in message(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
def test_a_pipe_is_not_waited_for(tmp_path):
    path = tmp_path / "data.csv"
    os.mkfifo(path)
    assert message(path).startswith("is no regular file")


def test_an_encrypted_archive(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.zeros((2, 2)))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in message(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".txt"])
def test_any_damage_is_read_or_told(tmp_path, suffix):
    buffer, rng = io.BytesIO(), np.random.default_rng(1)
    np.savez_compressed(buffer, x=RNG.standard_normal((6, 2)))
    whole = {
        ".npy": npy(RNG.standard_normal((6, 2))),
        ".npz": buffer.getvalue(),
        ".csv": b"a,b\n1,2\n3,4\n",
        ".txt": "größe".encode(),
    }[suffix]
    path = tmp_path / f"data{suffix}"
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data[: rng.integers(1, 4 * len(data))])
        with contextlib.suppress(UserError):
            assert np.isfinite(load_file(path).x).all()


# --- tables ------------------------------------------------------------------------------------


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3,4\n5,6\n",
        "a;b\n1;2\n3;4\n5;6\n",
        "1\t2\n3\t4\n5\t6\n",
        "a,b\n1,2\n3,4\n5,6",
        "\ufeffa, b\r\n1, 2\r\n\r\n3,4\r\n5,6\r\n\r\n",
    ],
)
def test_a_table(tmp_path, text):
    batch = load_file(table(tmp_path, text))
    np.testing.assert_array_equal(batch.x[:, 0, :, 0], [[1, 2], [3, 4], [5, 6]])


def test_sequences_of_a_table(tmp_path):
    batch = load_file(table(tmp_path, "v,sequence,w\n1,b,2\n5,a,6\n3,b,4\n7,a,8\n"))
    np.testing.assert_array_equal(batch.x[:, 0, :, 0], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(batch.x[:, 0, :, 1], [[5, 6], [7, 8]])


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a,b\n1,2\n3\n", "line 3 has 1 columns, line 1 has 2"),
        ("1,2\n\n3,4,5\n", "line 3 has 3 columns, line 1 has 2"),
        ("a,b\n1,2\n3,x4\n", "line 3, column b: 'x4' is not a finite number"),
        ("1,x\n3,4\n", "line 1, column 1: 'x' is not a finite number"),
        ("1,2\n3,\n", "line 2, column 1: empty cell"),
        ("1,2\n3,nan\n", "line 2, column 1: 'nan' is not a finite number"),
        ("1,2\n3,1e999\n", "line 2, column 1: '1e999' is not a finite number"),
        ("a,b\n", "has a header and no rows"),
        ("\n\n", "holds no rows"),
        ("sequence\na\n", "has no column but `sequence`"),
        ("sequence,v\na,1\na,2\nb,3\n", "sequence 'a' has 2 steps, sequence 'b' has 1"),
        ('1,2\n3,"' + "4" * 200_000 + "\n", "line 2: field larger than field limit"),
    ],
)
def test_wrong_tables(tmp_path, text, start):
    assert message(table(tmp_path, text)).startswith(start)


def test_a_table_that_is_not_utf8(tmp_path):
    text = message(table(tmp_path, "größe\n1\n", "latin-1"))
    assert text.startswith("line 1 holds the byte 0xf6, which is not UTF-8")
    assert "fix: save the file in UTF-8" in text


def test_an_index_without_a_name_is_refused_or_left_out(tmp_path):
    path = table(tmp_path, ",a,b\n0,5,1\n1,6,2\n")
    text = message(path)
    assert text.startswith("column 1 has no name: it looks like an index")
    assert "fix: write columns: [a, b] under inputs" in text
    np.testing.assert_array_equal(
        load_file(path, columns=["a", "b"]).x[:, 0, :, 0], [[5, 1], [6, 2]]
    )
    np.testing.assert_array_equal(load_file(path, columns=["b"]).x[:, 0, :, 0], [[1], [2]])


def test_a_header_of_numbers_is_asked_about(tmp_path):
    path = table(tmp_path, "0,1\n0.5,1.5\n")
    text = message(path)
    assert text.startswith("line 1 counts the columns, 0, 1: is it a header, or the first step?")
    assert "write columns: [0, 1] under inputs; else write line 1 as 0.0, 1.0, …" in text
    np.testing.assert_array_equal(load_file(path, columns=[0, 1]).x[:, 0, :, 0], [[0.5, 1.5]])
    path = table(tmp_path, "0.0,1.0\n0.5,1.5\n")
    np.testing.assert_array_equal(load_file(path).x[:, 0, :, 0], [[0, 1], [0.5, 1.5]])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_column_of_dates_may_be_left_out(tmp_path, separator):
    rows = ("date,a,b", "2024-01-01,1,2", "2024-01-02,3,4")
    path = table(tmp_path, "\n".join(rows).replace(",", separator))
    text = message(path)
    assert text.startswith("line 2, column date: '2024-01-01' is not a finite number")
    assert {",": "commas", ";": "';'", "\t": "tabs"}[separator] in text
    assert "fix: if it is no feature, write columns: [a, b] under inputs" in text
    np.testing.assert_array_equal(
        load_file(path, columns=["a", "b"]).x[:, 0, :, 0], [[1, 2], [3, 4]]
    )


def test_decimal_commas(tmp_path):
    text = message(table(tmp_path, "a;b\n1,5;2\n"))
    assert text.startswith("line 2, column a: '1,5' is not a finite number")
    assert "fix: write decimal points" in text


@pytest.mark.parametrize(
    ("name", "columns", "problem"),
    [
        ("d.csv", ["a", "c"], "there is no column 'c'"),
        ("d.npy", [0, 2], "there is no column '2'"),
        ("d.txt", ["a"], "a text has no columns"),
    ],
)
def test_columns_that_there_are_not(tmp_path, name, columns, problem):
    path = tmp_path / name
    data = {".csv": b"a,b\n1,2\n", ".npy": npy(np.zeros((3, 2))), ".txt": b"abc"}
    path.write_bytes(data[path.suffix])
    assert message(path, columns=columns).startswith(problem)


def test_columns_of_an_array_are_positions(tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, np.arange(12.0).reshape(4, 3))
    np.testing.assert_array_equal(load_file(path, columns=[2, 0]).x[0, 0, :, 0], [2, 0])


# --- lengths, and what was read ----------------------------------------------------------------


@pytest.mark.parametrize(
    "more", [{"lengths": np.array([5, 3])}, {"mask": np.arange(5) < np.array([[5], [3]])}]
)
def test_sequences_end_where_they_say(tmp_path, more):
    path, (name,) = tmp_path / "data.npz", more
    x = np.arange(10.0).reshape(2, 5, 1)
    x[1, 3:] = np.nan
    np.savez(path, x=x, **more)
    batch = load_file(path)
    assert batch.lengths.tolist() == [5, 3]
    assert not batch.prefix
    np.testing.assert_array_equal(batch.x[:, 0, 0, 1], [5, 6, 7, 0, 0])
    np.testing.assert_array_equal(batch.targets[:, 0, 0, 1], [6, 7, np.nan, np.nan, np.nan])
    assert load_file(path, steps=4).lengths.tolist() == [4, 3]
    assert load_file(path, steps=3).lengths is None
    assert "each sequence ends after 3 to 5 of them" in reader.read_file(path).notes()[0]
    np.savez(path, x=np.zeros((2, 5, 1)), **{name: np.full_like(a, 5) for name, a in more.items()})
    assert load_file(path).lengths is None
    np.savez(path, x=np.zeros((2, 5, 1)), **{name: array[:1] for name, array in more.items()})
    assert message(path).startswith(f"{name} is shaped (1,")


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"lengths": [5, 0]}, "a sequence ends after 0 of 5 steps"),
        ({"lengths": [5, 6]}, "a sequence ends after 6 of 5 steps"),
        ({"lengths": [5, 2.5]}, "a sequence ends after 2.5 of 5 steps"),
        ({"mask": [[1, 1, 1, 1, 1], [0, 1, 1, 0, 0]]}, "mask has steps after a gap in sequence 1"),
        ({"lengths": [5, 3], "mask": np.ones((2, 5))}, "lengths and mask do not agree"),
    ],
)
def test_lengths_that_make_no_sense(tmp_path, more, problem):
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 5, 1)), **more)
    assert message(tmp_path / "data.npz").startswith(problem)


def test_what_was_read_is_said(tmp_path):
    path = table(tmp_path, "t,level,flat\n3,0.5,7\n4,0.25,7\n5,9,7\n")
    assert reader.read_file(path).notes() == [
        "read data.csv: 1 sequence × 3 steps × 3 features",
        "warning: data.csv: column t counts from 3 to 5, as an index",
        "warning: data.csv: column flat is 7 at every step",
    ]
    path = tmp_path / "data.npy"
    np.save(path, RNG.standard_normal((4, 30)))
    read, more = reader.read_file(path).notes()
    assert read == "read data.npy: 1 sequence × 4 steps × 30 features"
    assert "4 series of one feature are shaped (4, 30, 1)" in more
    path = tmp_path / "data.txt"
    path.write_text("abcab")
    assert reader.read_file(path).notes() == ["read data.txt: 5 characters, 3 different"]


# --- texts -------------------------------------------------------------------------------------


def test_a_text_is_one_hot_over_its_sorted_characters(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("banana ß!", encoding="utf-8")
    batch = load_file(path)
    alphabet = sorted(set("banana ß!"))
    assert batch.x.shape == (9, 1, len(alphabet), 1)
    codes = batch.x[:, 0, :, 0].argmax(axis=1)
    assert "".join(alphabet[k] for k in codes) == "banana ß!"
    np.testing.assert_array_equal(batch.targets[:, 0, 0], [*codes[1:], -1])
    assert batch.target_kind == config("file", path=str(path)).task.target_kind == "classes"
    assert batch.classes == len(alphabet)


def test_a_text_in_pieces(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("abcabcabca")
    batch = load_file(path, sequences=3)
    np.testing.assert_array_equal(batch.x[:, 0].argmax(axis=1), [[0, 0, 0], [1, 1, 1], [2, 2, 2]])
    np.testing.assert_array_equal(batch.targets[:, 0, 0], [1, 2, -1])
    short = load_file(path, 2, 3)
    np.testing.assert_array_equal(short.x, batch.x[:2])
    np.testing.assert_array_equal(short.targets, batch.targets[:2])


def test_wrong_texts(tmp_path, monkeypatch):
    path = tmp_path / "data.txt"
    path.write_bytes(b"ab\ncd\xff")
    assert message(path).startswith("line 2 holds the byte 0xff, which is not UTF-8")
    path.write_text("abcdef")
    assert message(path, 7).startswith("has 6 steps, fewer than the 7 asked for")
    assert message(path, 4, 2).startswith("has 3 steps in each of 2 pieces, fewer than the 4")
    text = message(path, None, 7)
    assert text.startswith("has 6 characters, fewer than the 7 asked for")
    assert "fix: set `sequences` to at most 6" in text
    monkeypatch.setattr(reader, "MAX_BYTES", 287)
    assert message(path).startswith("6 characters, one-hot, need 288 bytes at 6 steps")


# --- any file ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".txt"])
def test_missing_empty_and_directory(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    text = message(path)
    assert text.startswith("there is no such file")
    assert "fix: check the path" in text
    path.touch()
    assert message(path).startswith("the file is empty")
    path.unlink()
    path.mkdir()
    assert message(path).startswith("cannot be read (")


def test_a_misspelt_name_gets_the_nearest(tmp_path):
    (tmp_path / "signal.npy").touch()
    assert "fix: did you mean signal.npy?" in message(tmp_path / "singal.npy")
    assert "fix: check the path" in message(tmp_path / "nowhere" / "singal.npy")


@pytest.mark.parametrize(
    ("name", "start"), [("data.mat", "cannot read the suffix '.mat'"), ("data", "has no suffix")]
)
def test_unknown_suffix(tmp_path, name, start):
    text = message(tmp_path / name)
    assert text.startswith(start)
    assert "expected: .npy, .npz, .csv or .txt" in text


def test_too_large(tmp_path):
    path = tmp_path / "data.npy"
    with path.open("wb") as file:
        file.truncate(reading.MAX_BYTES + 1)  # sparse: takes no room
    assert message(path).startswith("1,073,741,825 bytes are too many")


@pytest.mark.parametrize("shape", ["(3L, 2L)", "(3, 2), '\\\\d': 0"])
def test_a_header_of_python_2_is_read_and_an_odd_one_refused_without_a_warning(
    tmp_path: Path, shape: str
) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    file = tmp_path / "a.npy"
    size = len(header).to_bytes(2, "little")
    file.write_bytes(b"\x93NUMPY\x01\x00" + size + header + np.arange(6.0).tobytes())
    if "L" in shape:
        np.testing.assert_array_equal(reading.read_npy(file), np.arange(6.0).reshape(3, 2))
    else:
        with pytest.raises(UserError, match="not an array in NumPy's format"):
            reading.read_npy(file)
