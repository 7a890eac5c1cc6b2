"""Experiments, data and models that mean harm: one message with a place, nothing run, little taken.

Each is handed to the command line in a process of its own, which an audit hook watches.
"""

from __future__ import annotations

import io
import itertools
import os
import pickle
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.experiment import pickled
from tests.experiment.test_hostile import canary, lying
from tests.experiment.wrong import MARK, WRONG
from tests.torture.ground import CANARY, Ended, Row, watched, workplace

SOUND = "model: {cell: rnn, hidden: 3}\ninputs: {kind: noise}\nlength: 5\n"
KEYS = (
    "name", "length", "seed", "dtype", "memory", "method", "model", "model.cell", "model.hidden",
    "model.layers", "model.bidirectional", "model.weights", "model.state", "model.names", "inputs",
    "inputs.kind", "inputs.sequences", "inputs.scale", "inputs.seed", "init", "init.recurrent",
    "init.recurrent_gain", "init.forget_bias", "loss", "loss.kind", "loss.at", "sweep",
    "sweep.length", "sweep.seed", "sweep.inputs.scale", "record", "record.states", "record.every",
    "record.flow_map", "record.spectrum", "check", "check.tolerance", "check.assert", "train",
    "train.updates", "train.batch", "train.optimiser",
)  # fmt: skip
VALUES = (
    "null", "true", "-1", "0", "1e400", "-.inf", ".nan", "9" * 400, "0x" + "f" * 300,
    "1" * 5000 + ".5",
    "''", "x", "'" + "a" * 100_000 + "'", "[]", "{}", "[[[]]]", "{a: {b: {c: 1}}}", "'\\u202e'",
    "'=cmd|x'", "'../../etc/passwd'", "/etc/shadow", "'$(touch canary)'", "'{{7*7}}'", "'%n%s'",
    "!!python/object/apply:os.system ['touch canary']", "!!python/name:os.system", "&a [*a]",
    "[" * 500, "{? [a] : b}", "2001-01-01", "1_0_0", "0o777", "'a\\0b'", '"\\0"', '"\\x1b[31m"',
    "[1, 1, 1]", "[0, -1, .nan, 'x', null, {}]",
)  # fmt: skip
PLACE = re.compile(r"gradflow: .*(wrong\.yaml|override .*?)(:\d+)*: ", re.DOTALL)


def measure(fraction: float) -> Iterator[Row]:
    """Hand over all of them."""
    step = max(1, round(1 / fraction))
    with workplace() as where:
        yield _configs(where, step)
        each = list(data(where))[::step]
        yield _files(where, "data", "inputs={{kind: file, path: {}}}", each)
        each = list(models(where))[::step]
        yield _files(where, "models", "model.weights={}", each)


def configs() -> Iterator[tuple[str, str, bool]]:
    """Experiment files, an override beside each, and whether it has to be refused."""
    for case in WRONG:
        yield case.text.replace(MARK, ""), "", True
    for number, (key, value) in enumerate(itertools.product(KEYS, VALUES)):
        if number % 2:
            yield SOUND, f"{key}={value}", False
        else:
            section, _, name = key.partition(".")
            lines = [line for line in SOUND.splitlines() if not line.startswith(f"{section}:")]
            lines.append(f"{section}: {{{name}: {value}}}" if name else f"{key}: {value}")
            yield "\n".join(lines) + "\n", "", False


def _configs(where: Path, step: int) -> Row:
    found, ends = Counter[str](), []
    for text, override, wrong in itertools.islice(configs(), 0, None, step):
        (where / "wrong.yaml").write_text(text, encoding="utf-8")
        ended = watched(where, "validate", "wrong.yaml", *filter(None, [override]))
        ends.append(ended)
        bad = ended.code != 2 if wrong else ended.code not in (0, 2)
        if bad or (ended.code == 2 and not PLACE.match(ended.err)):
            found["without a place"] += 1
            print(f"{ended.code}: {override or text!r:.200}: {ended.err[:500]}", file=sys.stderr)
        found["refused"] += ended.code == 2
    return _row("an experiment file or override", ends, found, where)


def _row(what: str, ends: list[Ended], found: Counter[str], where: Path) -> Row:
    slowest, largest = max(e.work for e in ends), max(e.megabytes for e in ends)
    found["executed"] = sum(CANARY in one.err for one in ends) + (where / "canary").exists()
    found["tracebacks"] = sum("Traceback" in e.err or "internal error" in e.err for e in ends)
    wrong = ("without a place", "tracebacks", "executed")
    figure = (
        f"{len(ends):,} of them, {found['refused']:,} refused: "
        + ", ".join(f"{found[name]} {name}" for name in wrong)
        + f", the slowest {slowest:.2f} s of the processor, the largest {largest:.0f} MB"
    )
    passed = slowest < 1 and largest < 200 and not any(found[name] for name in wrong)
    return Row(f"{what} that means harm gets one message", figure, passed)


def _files(where: Path, what: str, override: str, files: Iterable[Path]) -> Row:
    found, ends = Counter[str](), []
    (where / "sound.yaml").write_text(SOUND.replace("length: 5\n", ""))
    for path in files:
        words = override.format(f'"{path.name}"')
        length = [] if what == "data" else ["length=5"]
        ended = watched(where, "run", "sound.yaml", words, *length, "-q", "--fresh")
        ends.append(ended)
        if ended.code != 2 or path.name not in ended.err:
            found["without a place"] += 1
            print(f"{path.name}: {ended.code}: {ended.err[:500]}", file=sys.stderr)
        found["refused"] += ended.code == 2
    return _row(f"a file of {what}", ends, found, where)


def _npy(shape: str, descr: str = "<f8", data: bytes = bytes(64), more: str = "") -> bytes:
    kind = descr if descr[0] in "[(" else repr(descr)
    head = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}{more}}}"
    body = head.encode().ljust(118 - 10) + b"\n"
    return b"\x93NUMPY\x01\x00" + (len(body) & 0xFFFF).to_bytes(2, "little") + body + data


NPY = {
    "huge": _npy("(1099511627776, 8, 8)"), "larger": _npy("(" + "9" * 60 + ", 1)"),
    "negative": _npy("(-2, 4)"), "more": _npy("(100, 100)"), "axes": _npy("(1,) * 70"),
    "many": _npy("(" + "1," * 40 + ")"), "zero": _npy("(0, 3)"), "none": _npy("()", data=bytes(8)),
    "object": _npy("(2,)", "|O", pickle.dumps([1, 2])), "text": _npy("(2, 2)", "<U4"),
    "void": _npy("(2, 2)", "|V8"), "complex": _npy("(2, 2)", "<c16"), "dates": _npy("(2, 2)",
    "<M8[s]"),
    "fields": _npy("(2,)", "[('a', '<f8'), ('b', '|O')]"), "nested": _npy("(2,)",
    "[('a', '<f8', (2, 2))]"),
    "wide": _npy("(2, 2)", "<U1000000000"), "call": _npy("__import__('os').system('touch canary')"),
    "code": _npy("(2, 2)", more=", 'x': __import__('os').system('touch canary')"),
    "long": b"\x93NUMPY\x02\x00" + (1 << 31).to_bytes(4, "little") + b"{" * 1000,
    "deep": b"\x93NUMPY\x02\x00" + (60_000).to_bytes(4, "little") + b"(" * 60_000,
    "version": b"\x93NUMPY\x09\x00" + bytes(100), "magic": b"\x93NUMPY", "half": b"\x93NU",
    "empty": b"", "pickle": pickle.dumps(os.system), "nan": _npy("(2, 2)", data=b"\xff" * 32),
    "cut": _npy("(2, 4)")[:100], "flat": _npy("(8,)" , "|b1"),
}  # fmt: skip
CSV = {
    "ragged": b"1,2\n3\n", "words": b"a,b\nc,d\n", "nul": b"1,2\n\x00,3\n", "nan": b"1,nan\n2,3\n",
    "huge": b"1e999,2\n1,2\n", "empty": b"", "lines": b"\n" * 1_000_000, "bytes": bytes(range(256)),
    "field": b"1," + b"9" * 2_000_000 + b"\n", "quote": b'"1,2\n' * 1000,
    "wide": b"x," * 200_000 + b"\n1\n",
    "utf16": "1,2\n".encode("utf-16"), "formula": b"=cmd|'/C calc'!A0,1\n2,3\n",
    "esc": b"\x1b[2J,1\n2,3\n",
    "bom": b"\xef\xbb\xbf\xef\xbb\xbfa\n", "header": b"a,b\n", "bidi": "\u202ea,b\nx,y\n".encode(),
}  # fmt: skip
TXT = {"empty": b"", "latin": b"\xff\xfe\xfa", "half": b"\xc3"}


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _lying_sizes(data: bytes, said: int) -> bytes:
    """Let all headers of an archive name another size."""
    where = data.rfind(b"PK\x01\x02")
    return data[: where + 24] + said.to_bytes(4, "little") + data[where + 28 :]


def _archives() -> dict[str, bytes]:
    good = _npy("(2, 2, 2)")
    bomb = _npy("(1024, 1024, 128)", data=bytes(1 << 24))
    return {
        "none": _zip({}), "escape": _zip({"../../x.npy": good, "y.npy": good}),
        "object": _zip({"x.npy": NPY["object"]}), "huge": _zip({"x.npy": NPY["huge"]}),
        "bomb": _zip({"x.npy": bomb}, compression=zipfile.ZIP_DEFLATED),
        "small": _lying_sizes(_zip({"x.npy": good}), 8),
        "large": _lying_sizes(_zip({"x.npy": good}), (1 << 32) - 2),
        "several": _zip({"a.npy": good, "b.npy": good}), "text": _zip({"x.txt": b"hello"}),
        "cut": _zip({"x.npy": good})[:-30], "directory": b"PK\x05\x06" + bytes(18),
        "plain": b"no archive",
        "bzip": _zip({"x.npy": NPY["cut"]}, compression=zipfile.ZIP_BZIP2),
        "code": _zip({"x.npy": NPY["call"]}),
        "names": _zip({"\x1b[2J.npy": good, "\u202e.npy": good}),
        "deep": _zip({"x.npy": NPY["deep"]}),
        "lengths": _zip({"x.npy": good, "lengths.npy": _npy("(2,)", "<i8", (1 << 60).to_bytes(8,
        "little") * 2)}),
    }  # fmt: skip


def data(where: Path) -> Iterator[Path]:
    """Files of series: content that lies, and places that are no files."""
    content = {"npy": NPY, "csv": CSV, "txt": TXT, "npz": _archives()}
    for suffix, files in content.items():
        for name, what in files.items():
            path = where / f"{name}.{suffix}"
            path.write_bytes(what)
            yield path
    yield from _places(where, content)


def _places(where: Path, suffixes: Iterable[str]) -> Iterator[Path]:
    for suffix in suffixes:
        for name in ("fifo", "folder", "circle", "dangling", "endless", "absent"):
            path = where / f"{name}.{suffix}"
            if name == "fifo":
                os.mkfifo(path)
            elif name == "folder":
                path.mkdir()
            elif name != "absent":
                to = {"circle": path.name, "dangling": "nowhere", "endless": "/dev/zero"}[name]
                path.symlink_to(to)
            yield path


def _tensors(header: bytes, data: bytes = bytes(16), size: int | None = None) -> bytes:
    return (len(header) if size is None else size).to_bytes(8, "little") + header + data


def _entry(
    name: str = "weight_hh_l0", dtype: str = "F32", shape: str = "[2, 2]", at: str = "[0, 16]"
) -> str:
    return f'"{name}": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {at}}}'


def _safetensors() -> dict[str, bytes]:
    headers = {
        "negative": _entry(at="[-16, 0]"), "beyond": _entry(at="[0, 160]"),
        "back": _entry(at="[16, 0]"),
        "float": _entry(at="[0.0, 16.0]"), "shape": _entry(shape="[3, 3]"),
        "minus": _entry(shape="[-2, -2]"),
        "huge": _entry(shape="[1099511627776, 1099511627776]"), "dtype": _entry(dtype="F4_E9"),
        "digits": _entry(at=f"[0, {'9' * 5000}]"), "null": '"weight_hh_l0": null',
        "list": '"weight_hh_l0": [1]',
        "twice": _entry() + ", " + _entry(), "names": _entry("\\u001b[2J"),
        "text": _entry(shape='"22"'),
        "meta": '"__metadata__": 5, ' + _entry(), "alone": _entry(),
    }  # fmt: skip
    made = {name: _tensors(b"{" + head.encode() + b"}") for name, head in headers.items()}
    return made | {
        "long": _tensors(b"{}", size=1 << 62), "array": _tensors(b"[]"), "none": _tensors(b"{}"),
        "nest": _tensors(b'{"a":' * 50_000), "empty": b"", "short": b"\x01",
        "binary": bytes(range(256)),
    }  # fmt: skip


def models(where: Path) -> Iterator[Path]:
    """Checkpoints that lie, that would run something, and that are something else."""
    lies = lying(None)  # type: ignore[no-untyped-call]
    for old, (name, (program, members)) in itertools.product((False, True), lies.items()):
        if name == "many steps":  # its limit is lowered by the test
            continue
        path = where / f"{name.replace(' ', '-')}-{'old' if old else 'new'}.pt"
        if old:
            rows = [(len(a) // 4).to_bytes(8, "little") + a for a in members.values()]
            yield pickled.older(path, program, list(members), b"".join(rows))
        else:
            yield pickled.zipped(path, program, members)
    _, calls = canary(where)  # type: ignore[no-untyped-call]
    for protocol, (name, what) in itertools.product((0, 2, 4, 5), calls.items()):
        path = where / f"{name.replace(' ', '-')}-{protocol}.pth"
        path.write_bytes(_zip({"net/data.pkl": pickle.dumps(what, protocol)}))
        yield path
    content = {"safetensors": _safetensors(), "npz": _archives()}
    for suffix, files in content.items():
        for name, what in files.items():
            path = where / f"model-{name}.{suffix}"
            path.write_bytes(what)
            yield path
    yield from _places(where, ("pt", "safetensors"))
