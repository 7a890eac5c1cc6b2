"""Bytes and texts that nobody wrote: drawn, or sound ones with some places changed.

Whatever a reader makes of them, it is a result or a message with a place; it runs nothing, and
takes little. An hour of it: `make torture ROW=fuzz FRACTION=12`.
"""

from __future__ import annotations

import io
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from gradflow.core.engine.bptt import backpropagate  # noqa: F401  # read before the watch begins
from gradflow.errors import GradflowError
from gradflow.experiment.config import load_config
from gradflow.experiment.data.reader import read_file
from gradflow.experiment.models.weights import read_weights
from tests.experiment import pickled
from tests.experiment.wrong import MARK, WRONG
from tests.torture.ground import FORBIDDEN, Row, workplace
from tests.torture.hostile import KEYS, SOUND, VALUES

MINUTES = 5
"""Of fuzzing at fraction 1, shared by all readers."""

AT_ONCE = 200
"""Examples between two looks at the clock."""

SLOW = 1.0
"""Seconds of the processor that one example may take."""

SIGNS = ("\n", ": ", "{", "}", "[", "]", ", ", "- ", "  ", "'", '"', "#", "\t", "|\n", ">")
PIECES = (*KEYS, *VALUES, *SIGNS)

Read = Callable[[Path], object]


def sound() -> dict[str, bytes]:
    """Files that are read as they are, by their suffix."""
    draw = np.random.default_rng(14)
    shapes: dict[str, tuple[int, ...]] = {"weight_ih_l0": (12, 2), "weight_hh_l0": (12, 3)}
    shapes |= {"bias_ih_l0": (12,), "bias_hh_l0": (12,)}
    state = {name: draw.standard_normal(shape).astype("f4") for name, shape in shapes.items()}
    series = draw.standard_normal((2, 5, 2))
    npy, npz, weights = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(npy, series)
    np.savez(npz, x=series, lengths=np.array([3, 5]))
    np.savez(weights, **state)  # type: ignore[arg-type]  # arrays
    with workplace() as where:
        new = pickled.checkpoint(where / "n.pt", state).read_bytes()
        old = pickled.checkpoint(where / "o.pt", state, old=True).read_bytes()
    at, parts = 0, []
    for name, array in state.items():
        shape, end = list(array.shape), at + array.nbytes
        parts.append(f'"{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{at},{end}]}}')
        at = end
    header = ("{" + ",".join(parts) + "}").encode()
    data = b"".join(array.tobytes() for array in state.values())
    tensors = len(header).to_bytes(8, "little") + header + data
    return {
        "series.npy": npy.getvalue(), "series.npz": npz.getvalue(),
        "series.csv": b"a,b\n1,2\n3,4.5\n-1e3,0\n",
        "model.npz": weights.getvalue(), "model.safetensors": tensors,
        "model.pt": new, "older.pt": old,
    }  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, data: bytes) -> bytes:
    """Sound bytes with some of them changed, cut out, or put in; seldom others altogether."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    found = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(found)))
        how, piece = draw(st.sampled_from("scid")), draw(st.binary(max_size=8))
        if how == "s":
            found[at : at + len(piece)] = piece
        elif how == "i":
            found[at:at] = piece
        elif how == "c":
            del found[at : at + draw(st.integers(1, 64))]
        else:
            found[at:at] = found[max(0, at - 32) : at]
    return bytes(found)


def texts() -> st.SearchStrategy[str]:
    """Experiment files: wrong ones with pieces of others in them, and pieces alone."""
    whole = st.sampled_from([case.text.replace(MARK, "") for case in WRONG])
    piece = st.sampled_from(PIECES) | st.text(max_size=5)

    def mixed(parts: tuple[str, list[tuple[float, str]]]) -> str:
        text, more = parts
        for where, one in more:
            at = int(where * len(text))
            text = text[:at] + one + text[at:]
        return text

    places = st.tuples(st.floats(0, 1), piece)
    return st.tuples(whole | st.just(""), st.lists(places, min_size=1, max_size=8)).map(mixed)


def overrides() -> st.SearchStrategy[str]:
    """Words behind an experiment file, as a command line has them: NUL stands in none."""
    piece = st.sampled_from(PIECES) | st.text(max_size=5)
    key = st.lists(st.sampled_from(KEYS) | piece, min_size=1, max_size=2).map(".".join)
    value = st.sampled_from(VALUES) | st.lists(piece, max_size=6).map("".join)
    word = st.tuples(st.sampled_from(KEYS) | key, value).map("=".join) | piece
    words = st.lists(word.map(lambda one: one.replace("\0", "")), min_size=1, max_size=3)
    return words.map("\0".join)


def overridden(path: Path) -> object:
    """Read the words that a file holds over a sound experiment."""
    base = path.with_name("override.yaml")
    if not base.exists():
        base.write_text(SOUND)
    return load_config(base, path.read_bytes().decode("utf-8", "surrogatepass").split("\0"))


class Watch:
    """Reads an example and counts how that ends."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.found = Counter[str]()
        self.slowest = 0.0
        self.reading = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[object, ...]) -> None:
        if self.reading and event in FORBIDDEN:
            self._bad("executed", f"{event} {args!r}")

    def _bad(self, what: str, said: str) -> None:
        self.found[what] += 1
        print(f"{what}: {said[:500]}", file=sys.stderr)

    def read(self, name: str, content: bytes, read: Read) -> None:
        """Let `read` have a file of this content."""
        path = self.where / name
        path.write_bytes(content)
        self.found["examples"] += 1
        start, self.reading = time.process_time(), True
        try:
            read(path)
            self.found["read"] += 1
        except GradflowError as error:
            self.found["refused"] += 1
            if name not in str(error):
                self._bad("without a place", f"{name}: {error}: {content[:300]!r}")
        except Exception as error:
            self._bad("unexplained", f"{name}: {type(error).__name__}: {error}: {content[:300]!r}")
        finally:
            self.reading = False
        self.slowest = max(self.slowest, time.process_time() - start)


def measure(fraction: float) -> Iterator[Row]:
    """Fuzz every reader in turns, for a while."""
    readers: list[tuple[str, Read, st.SearchStrategy[bytes]]] = [
        ("exp.yaml", load_config, texts().map(_encoded)),
        ("override", overridden, overrides().map(_encoded)),
    ]
    for name, data in sound().items():
        read: Read = read_file if name.startswith("series") else read_weights
        readers.append((name, read, changed(data)))
    draw, limit = random.Random(14), time.process_time() + 60 * MINUTES * fraction
    with workplace() as where, warnings.catch_warnings():
        warnings.simplefilter("error")  # what NumPy warns of is a message without a place
        watch = Watch(where)
        while time.process_time() < limit or not watch.found["examples"]:
            for reader in readers:
                _some(watch, *reader, draw.randrange(1 << 32))
    wrong = ("without a place", "unexplained", "executed")
    found = watch.found
    figure = (
        f"{found['examples']:,} examples in {60 * MINUTES * fraction:.0f} s of the processor over"
        f" {len(readers)} readers, {found['refused']:,} refused: "
        + ", ".join(f"{found[one]} {one}" for one in wrong)
        + f", the slowest {watch.slowest:.2f} s"
    )
    passed = watch.slowest < SLOW and not any(found[one] for one in wrong)
    yield Row("files that nobody wrote are read or refused in one message", figure, passed)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _some(
    watch: Watch, name: str, read: Read, content: st.SearchStrategy[bytes], number: int
) -> None:
    @seed(number)
    @settings(
        max_examples=AT_ONCE, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(content)
    def one(example: bytes) -> None:
        watch.read(name, example, read)

    one()
