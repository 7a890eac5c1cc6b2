"""Files that mean harm: refused in one message, nothing run, little allocated."""

from __future__ import annotations

import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from gradflow.errors import UserError
from gradflow.experiment.config import load_config
from gradflow.experiment.models.weights import read_weights
from tests.experiment import pickled
from tests.experiment.pickled import group, mapping, name, storage, text, view
from tests.experiment.test_weights import state_dict

MOST = 64 << 20
"""Bytes that refusing a file may take at any moment."""


class Call:
    def __init__(self, what, *args):
        self.what, self.args = what, args

    def __reduce__(self):
        return self.what, self.args


def refused(path, problem=""):
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            read_weights(path)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ")
    assert problem in str(caught.value)
    assert str(caught.value).isprintable() or "\n" in str(caught.value)


def canary(tmp_path):
    """Ways to leave a file, were anything run."""
    left = tmp_path / "canary"
    write = f"open({str(left)!r}, 'w')"
    return left, {
        "os.system": Call(os.system, f"touch {left}"),
        "eval": Call(eval, write),
        "exec": Call(exec, write),
        "open": Call(open, str(left), "w"),
        "getattr": Call(getattr, Call(__import__, "os"), "system"),
        "popen": Call(os.popen, f"touch {left}"),
        "in a list": [Call(exec, write)],
        "as a key": {Call(os.system, f"touch {left}"): 1},
        "reduce bomb": Call(bytearray, 1 << 40),
        "range": Call(list, Call(range, 1 << 40)),
    }


HARM = list(canary(__import__("pathlib").Path("/nowhere"))[1])


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("how", HARM)
def test_nothing_is_run(tmp_path, how, protocol):
    """The archive holds a net as well, and that is read: what stands beside it stays dead."""
    left, calls = canary(tmp_path)
    program = pickle.dumps(calls[how], protocol)
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/data.pkl", program)
    refused(tmp_path / "net.pt", "holds no recurrent network")
    (tmp_path / "plain.pth").write_bytes(program)
    refused(tmp_path / "plain.pth")
    assert not left.exists()


def test_a_sound_net_beside_harm_is_read_and_the_harm_is_not_done(tmp_path):
    left = tmp_path / "canary"
    state = {k: a.astype("f4") for k, a in state_dict(4).items()}
    inner = mapping({k: pickled.whole(k, a) for k, a in state.items()})
    harm = name("os", "system") + group(text(f"touch {left}")) + b"R"
    program = mapping({"harm": harm, "state_dict": inner})
    data = {k: a.tobytes() for k, a in state.items()}
    assert read_weights(pickled.zipped(tmp_path / "net.pt", program, data)).hidden == 5
    assert not left.exists()


def lying(tmp_path):
    """Programs and archives that say what is not so."""
    small = {"0": bytes(16)}

    def net(tensor):
        return mapping({"weight_hh_l0": tensor, "weight_ih_l0": tensor})

    four = storage("0", 4)
    nested = b"(" * 1000 + b"t" * 1000
    deep = b")" + b"\x85" * 5_000
    twice = b"]q\x00" + b"h\x00h\x00\x86q\x00" * 3
    return {
        "beyond its storage": (net(view(four, (3, 3))), small),
        "offset beyond": (net(view(four, (2, 2), offset=1)), small),
        "stride beyond": (net(view(four, (2, 2), (1 << 40, 1))), small),
        "no strides": (net(view(four, (1 << 20, 1 << 20), (0, 0))), small),
        "negative offset": (net(view(four, (2, 2), offset=-4)), small),
        "negative stride": (net(view(four, (2, 2), (-1, 1))), small),
        "negative size": (net(view(four, (-2, 2), (2, 1))), small),
        "shape of huge numbers": (net(view(four, (1 << 2000, 1))), small),
        "many axes": (net(view(four, (1,) * 40)), small),
        "strides of another number": (net(view(four, (2, 2), (1,))), small),
        "more elements than bytes": (net(view(storage("0", 1 << 50), (2, 2))), small),
        "fewer elements than bytes": (net(view(storage("0", 4), (2, 2))), {"0": bytes(64)}),
        "negative elements": (net(view(storage("0", -4), (2, 2))), small),
        "no such storage": (net(view(storage("../../0", 4), (2, 2))), small),
        "storage of no name": (net(view(group(text("storage")) + b"Q", (2, 2))), small),
        "another persistent id": (net(view(group(text("file"), text("x")) + b"Q", (2, 2))), small),
        "a tensor of a dead thing": (net(view(name("os", "environ"), (2, 2))), small),
        "whole numbers": (net(view(storage("0", 2, "LongStorage"), (1, 1))), small),
        "quantised": (net(view(storage("0", 4, "QInt32Storage"), (2, 2))), small),
        "deep marks": (nested, {}),
        "deep tuples": (deep, {}),
        "deep key": (b"}" + deep + b"Ns", {}),
        "deep lists": (b"]" * 5_000 + b"a" * 4_999, {}),
        "doubling": (twice * 500, {}),
        "cyclic list": (b"]q\x00h\x00a", {}),
        "cyclic dict": (b"}q\x00" + text("a") + b"h\x00s", {}),
        "cyclic tuple": (b"]q\x00h\x00\x85a", {}),
        "huge int": (b"\x8b" + (1 << 20).to_bytes(4, "little") + b"\x7f" * (1 << 20), {}),
        "int in digits": (b"L" + b"9" * 100_000 + b"L\n", {}),
        "lying text": (b"X\xff\xff\xff\x7fabc", {}),
        "lying bytes": (b"\x8e" + (1 << 60).to_bytes(8, "little") + b"abc", {}),
        "lying bytearray": (b"\x96" + (1 << 60).to_bytes(8, "little") + b"abc", {}),
        "memo far away": (b"Nr\xff\xff\xff\xff", {}),
        "memo of nothing": (b"h\x07", {}),
        "empty stack": (b"0", {}),
        "mark missing": (b"t", {}),
        "mark in a tuple": (b"(\x85", {}),
        "extension": (b"\x82\x01", {}),
        "buffer": (b"\x97", {}),
        "name of numbers": (b"NN\x93", {}),
        "call of a text": (text("os.system") + b")R", {}),
        "call without arguments": (name("os", "system") + b"NR", {}),
        "odd items": (b"}(" + text("a") + b"u", {}),
        "items of a text": (text("a") + b"(NNu", {}),
        "appended to nothing": (b"NNa", {}),
        "unknown opcode": (b"\xff", {}),
        "not UTF-8": (b"X\x01\x00\x00\x00\xff", {}),
        "many steps": (b"N0" * 5_000, {}),
    }  # fmt: skip


LIES = list(lying(None))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("lie", LIES)
def test_lying_checkpoints(tmp_path, monkeypatch, lie, old):
    if lie == "many steps":
        monkeypatch.setattr("gradflow.experiment.models.pickles.MAX_STEPS", 9_999)
    program, data = lying(tmp_path)[lie]
    if old:
        rows = [(len(a) // 4).to_bytes(8, "little") + a for a in data.values()]
        path = pickled.older(tmp_path / "net.pth", program, list(data), b"".join(rows))
    else:
        path = pickled.zipped(tmp_path / "net.pt", program, data)
    refused(path)


def test_zip_bombs(tmp_path):
    """A pickle, and a storage, of a gigabyte of zeros."""
    zeros = bytes(1 << 20)
    deflated = {"compression": zipfile.ZIP_DEFLATED}
    with (
        zipfile.ZipFile(tmp_path / "a.pt", "w", **deflated) as archive,
        archive.open("net/data.pkl", "w") as member,
    ):
        for _ in range(80):
            member.write(zeros)
    refused(tmp_path / "a.pt", "83,886,080 bytes are too many")


def test_many_storages_are_bounded_together(tmp_path, monkeypatch):
    monkeypatch.setattr("gradflow.experiment.models.checkpoint.MAX_BYTES", 150)
    state = {k: a.astype("f4") for k, a in state_dict(1, hidden=5).items()}
    refused(pickled.checkpoint(tmp_path / "n.pt", state), "bytes are too many")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PK\x03\x04 and no more", "its archive is not whole"),
        (b"PK\x05\x06" + bytes(18), "holds no data.pkl"),
        (b"GIF89a", "begins like no file of PyTorch"),
        (b"\x80\x02}.", "a plain pickle"),
        (b"\x80\x02", "its pickle is not"),
        (b"\x80", "its pickle is not"),
        (b"", "the file is empty"),
    ],
)
def test_files_of_other_kinds(tmp_path, content, problem):
    (tmp_path / "net.pt").write_bytes(content)
    refused(tmp_path / "net.pt", problem)


@pytest.mark.parametrize("cut", range(1, 8))
@pytest.mark.parametrize("old", [False, True])
def test_files_cut_short(tmp_path, cut, old):
    state = {k: a.astype("f4") for k, a in state_dict(4).items()}
    path = pickled.checkpoint(tmp_path / "net.pt", state, old=old)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * cut // 8])
    refused(path)


def test_packed_in_another_way(tmp_path):
    program = mapping({"weight_hh_l0": view(storage("0", 1), (1, 1))})
    refused(
        pickled.zipped(tmp_path / "n.pt", program, {"0": bytes(4)}, compression=zipfile.ZIP_BZIP2),
        "packed in a way that PyTorch does not write",
    )


def test_a_storage_list_that_lies(tmp_path):
    program = mapping({"weight_hh_l0": view(storage("0", 1), (1, 1))})
    for elements in (1 << 40, -1):
        data = elements.to_bytes(8, "little", signed=True) + bytes(4)
        refused(pickled.older(tmp_path / "n.pt", program, ["0"], data), "in a file of")
    refused(pickled.older(tmp_path / "n.pt", program, ["1"], bytes(12)), "no tensor has")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt"])
def test_names_of_control_characters_are_not_printed(tmp_path, suffix):
    state = {"\x1b[2Jevil": np.zeros((2, 2), "f4")}
    path = tmp_path / f"n{suffix}"
    if suffix == ".npz":
        np.savez(path, **state)
    elif suffix == ".pt":
        pickled.checkpoint(path, state)
    else:
        header = b'{"\\u001b[2Jevil": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(UserError) as caught:
        read_weights(path)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("key", ["model.weights", "model.state"])
def test_a_name_that_no_file_can_have_is_refused_in_its_place(tmp_path, key):
    config = tmp_path / "sound.yaml"
    config.write_text("model: {cell: rnn}\ninputs: {kind: noise}\nlength: 5\n")
    with pytest.raises(UserError, match=rf"^override {key}=a+:1:.*: {key}: there is no such file"):
        load_config(config, [f"{key}={'a' * 300}"])


@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_a_bit_flipped_inside_an_archive_is_found(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    state = {k: a.astype("f4") for k, a in state_dict(4).items()}
    if suffix == ".npz":
        np.savez(path, **state)
    else:
        pickled.checkpoint(path, state)
    whole = path.read_bytes()
    at = whole.index(next(iter(state.values())).tobytes()[:16])
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    refused(path, "CRC")


@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_a_name_inside_an_archive_that_is_no_text_is_refused(tmp_path, suffix):
    """The entry's own header says that its name is UTF-8; the list at the end has it right."""
    path = tmp_path / f"net{suffix}"
    if suffix == ".npz":
        np.savez(path, **{k: a.astype("f4") for k, a in state_dict(4).items()})
    else:
        pickled.checkpoint(path, {k: a.astype("f4") for k, a in state_dict(4).items()})
    data = bytearray(path.read_bytes())
    data[6:8] = (0x800).to_bytes(2, "little")
    data[30] = 0xFF
    path.write_bytes(data)
    refused(path, "utf-8")


def test_an_archive_whose_entry_has_a_comment_is_refused(tmp_path):
    """A comment of wrong length swallows the entries behind it."""
    path = tmp_path / "net.npz"
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("weight_hh_l0.npy")
        entry.comment = b"more"
        archive.writestr(entry, b"")
    refused(path, "an array has a comment")


def test_a_module_that_is_told_by_a_persistent_id_is_the_one_itself(tmp_path):
    """As files before PyTorch 0.4 have it: ("module", the class, its source, …)."""
    state = {k: a.astype("f4") for k, a in state_dict(4).items()}
    inner = mapping({k: pickled.whole(k, a) for k, a in state.items()})
    module = group(text("module"), inner, text("net.py"), text("class Net: ...")) + b"Q"
    rows = b"".join(a.size.to_bytes(8, "little") + a.tobytes() for a in state.values())
    path = pickled.older(tmp_path / "net.pth", module, list(state), rows)
    assert read_weights(path).hidden == 5
