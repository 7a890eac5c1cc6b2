"""The machine that reads pickles: every opcode does what Python's own does, but calls nothing."""

from __future__ import annotations

import io
import pickle
from typing import Any

import pytest

from gradflow.experiment.models.pickles import Dead, unpickle, walk
from tests.experiment.pickled import group, mapping, name, number, text


def read(program: bytes, **makers: Any) -> Any:
    return unpickle(io.BytesIO(program), makers)


@pytest.mark.parametrize(
    "program",
    [
        number(7) + number(8) + b"0.",  # POP
        number(7) + b"2\x86.",  # DUP
        number(7) + b"(" + text("a") + b"1.",  # POP_MARK
        b"](" + number(1) + number(2) + b"e.",  # APPENDS
        b"(" + number(1) + number(2) + b"l.",  # LIST
        b"(" + text("a") + number(2) + b"d.",  # DICT
        b"I01\nI00\n\x86.",  # the booleans of protocol 0
        b"\x8c\x01a\x94h\x00\x86.",  # MEMOIZE, BINGET
        b"]r\x01\x00\x00\x00j\x01\x00\x00\x00\x86.",  # LONG_BINPUT, LONG_BINGET
    ],
)
def test_an_opcode_does_what_pythons_does(program: bytes) -> None:
    assert read(program) == pickle.loads(program)


def test_sets_are_lists() -> None:
    assert read(b"\x8f(" + number(1) + number(2) + b"\x90.") == [1, 2]


OWN = name("mine", "Own")


@pytest.mark.parametrize(
    "program",
    [
        OWN + group(number(1)) + b"R.",
        OWN + group(number(1)) + b"\x81.",  # NEWOBJ
        OWN + group(number(1)) + b"}\x92.",  # NEWOBJ_EX
        b"(" + OWN + number(1) + b"o.",  # OBJ
        b"(" + number(1) + b"imine\nOwn\n.",  # INST
        text("mine") + text("Own") + b"\x93" + group(number(1)) + b"R.",  # STACK_GLOBAL
    ],
)
def test_what_is_called_stays_dead_or_is_made_here(program: bytes) -> None:
    dead = read(program)
    assert isinstance(dead, Dead)
    assert (dead.name, tuple(dead.args)) == ("mine.Own", (1,))
    assert read(program, **{"mine.Own": lambda one: one + 1}) == 2


def test_what_is_put_into_the_dead_is_kept() -> None:
    program = OWN + b")R(" + text("a") + text("b") + b"e" + b"(" + text("c") + b"Nu" + text("s")
    dead = read(program + b"b.")
    assert (dead.items, dead.state) == ({0: "a", 1: "b", "c": None}, "s")
    assert read(b"}" + text("s") + b"b.") == {}  # an ordered mapping's attributes say nothing


@pytest.mark.parametrize(
    "program",
    [
        number(1) + b"(" + number(2) + b"e.",  # into a number
        number(1) + b"(" + text("a") + b"Nu.",
        number(1) + b")R.",  # a number is called
        b"(" + text("a") + b"u.",  # a key without a value
        text("x") + b"Q.",  # a persistent id, and nobody to ask
        b"Px\n.",
        b"",
        number(1),
    ],
)
def test_what_makes_no_sense_is_refused(program: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(program)


def test_a_persistent_id_in_text_is_asked_for() -> None:
    assert unpickle(io.BytesIO(b"Pwhere\n."), {}, str.upper) == "WHERE"


def test_a_module_s_parameters_stand_under_its_own_names() -> None:
    """Where state is a pair, its second part are attributes, too; what comes again is left out."""
    inner = mapping({"weight": text("w")})
    module = OWN + b")R" + b"(" + mapping({"_parameters": inner}) + mapping({"more": text("m")})
    found = dict(walk(read(b"](" + module + b"tb" + b"e."), bytes))
    assert found == {("0", "weight"): "w", ("0", "more"): "m"}
    shared = b"](" + mapping({"a": text("x")}) + b"q\x05h\x05e."
    assert len(list(walk(read(shared), bytes))) == 1
    assert list(walk(read(b"}(N" + text("x") + b"u."), bytes)) == []  # a key that is no name
