"""The reader of experiment files: a strict, small YAML with a place for every key and value.

What surprises people in YAML is not there: ``no``, ``on`` and dates are text, ``1e-3`` is a number,
a key given twice is an error, and so are anchors, tags, merges and further documents.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from gradflow.experiment.config.text.nodes import LARGEST, Node, Place, out_of_range

__all__ = ["MAX_BYTES", "MAX_DEPTH", "as_tree", "parse_yaml", "read_bytes", "resolve"]

MAX_BYTES = 1 << 20
MAX_DEPTH = 20

CONSTANTS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
CONSTANTS |= {"true": True, "True": True, "TRUE": True}
CONSTANTS |= {"false": False, "False": False, "FALSE": False}
WHOLE = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
NUMBER = re.compile(r"[-+]?([0-9]+(_[0-9]+)*(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
BEYOND = re.compile(r"[-+]?\.?(inf|infinity|nan)", re.IGNORECASE)

START = "`gradflow init` writes an experiment to start from"


def read_bytes(path: Path) -> bytes:
    """Read an experiment file.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    """
    place = Place(str(path))
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise place.error("there is no such file", fix=f"check the path; {START}") from None
    except IsADirectoryError:
        raise place.error(
            "this is a directory", expected="an experiment file", fix="name the file in it"
        ) from None
    except OSError as error:
        raise place.error(f"the file cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise place.error(
            "the file is too large for an experiment",
            expected=f"at most {MAX_BYTES} bytes",
            fix="put data into files of their own and name them under inputs.path",
        )
    return data


def as_tree(data: bytes, path: Path) -> Node:
    """Turn what the experiment file `path` holds into a tree.

    Raises
    ------
    ConfigError
        If it is not YAML of the kind described above.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(errors="replace")
        raise _place(before, str(path)).error(
            f"the byte 0x{data[error.start]:02x} is not UTF-8 text",
            expected="a text file in UTF-8",
            fix="save the file as UTF-8",
        ) from None
    if not text.strip():
        raise Place(str(path)).error("the file is empty", expected="an experiment", fix=START)
    return parse_yaml(text, str(path))


def parse_yaml(text: str, file: str, shift: int = 0) -> Node:
    """Turn YAML into a tree.

    Parameters
    ----------
    text : str
        One YAML document.
    file : str
        What to name in errors.
    shift : int
        Columns to add on the first line, for text that stands inside other text.
    """
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        place = _place(text[: error.position], file, shift)
        raise place.error(
            f"the character U+{ord(text[error.position]):04X} is not allowed in YAML",
            fix="remove it",
        ) from None
    try:
        document = loader.get_single_node()
        return _Tree(file, shift).node(document) if document else Node(None, Place(file))
    except _Refused as error:
        raise _mark(error.mark, file, shift).error(str(error), fix=error.fix) from None
    except yaml.MarkedYAMLError as error:
        mark, words = _explain(error)
        raise _mark(mark, file, shift).error(**words) from None
    except (ValueError, OverflowError):  # an escape or a version number beyond what Python can hold
        raise _mark(loader.get_mark(), file, shift).error("this is not YAML") from None
    finally:
        loader.dispose()


def _place(before: str, file: str, shift: int = 0) -> Place:
    line = before.count("\n")
    column = len(before) - (before.rfind("\n") + 1)
    return Place(file, line + 1, column + 1 + (0 if line else shift))


def _mark(mark: yaml.Mark | None, file: str, shift: int) -> Place:
    if mark is None:
        return Place(file)
    return Place(file, mark.line + 1, mark.column + 1 + (0 if mark.line else shift))


class _Refused(Exception):
    """YAML that is valid elsewhere."""

    def __init__(self, problem: str, mark: Any, fix: str = "") -> None:
        super().__init__(problem)
        self.mark, self.fix = mark, fix


class _Loader(yaml.SafeLoader):
    """Composes the node graph only; refuses what an experiment has no use for."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # `resolve` decides instead

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # so in its stubs
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(f"the alias *{event.anchor} is not supported", mark, "write it out")
        if event.anchor is not None:
            raise _Refused(f"the anchor &{event.anchor} is not supported", mark, "remove it")
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise _Refused(f"the tag {tag} is not supported", mark, "remove it")
        if self.depth >= MAX_DEPTH:
            fix = "an experiment needs a depth of 5 at most"
            raise _Refused(f"this is nested more than {MAX_DEPTH} levels deep", mark, fix)
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Tree:
    """Turns composed nodes into ours."""

    def __init__(self, file: str, shift: int) -> None:
        self.file, self.shift = file, shift

    def place(self, node: yaml.Node) -> Place:
        return _mark(node.start_mark, self.file, self.shift)

    def node(self, node: Any) -> Node:
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return Node(tuple(self.node(part) for part in node.value), self.place(node))
        try:
            # Quoted, or written as a block, it is text whatever it looks like.
            return Node(node.value if node.style else resolve(node.value), self.place(node))
        except OverflowError:
            raise self.place(node).error(**out_of_range()) from None

    def mapping(self, node: yaml.MappingNode) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        for key, value in node.value:
            place = self.place(key)
            if not isinstance(key, yaml.ScalarNode):
                raise place.error("a list or a mapping cannot be a key", expected="a name")
            name = key.value
            if name == "<<" and not key.style:
                raise place.error("merging with << is not supported", fix="write the keys out")
            if name in values:
                first = keys[name]
                raise place.error(
                    f"the key '{name}' is given twice, first at line {first.line}",
                    fix="keep one of the two",
                )
            values[name], keys[name] = self.node(value), place
        return Node(values, self.place(node), keys)


def resolve(text: str) -> Any:
    """Return what a text without quotes stands for."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    if WHOLE.fullmatch(text):
        if len(text) > 2 * len(str(LARGEST)) or abs(int(text)) > LARGEST:
            raise OverflowError
        return int(text)
    if NUMBER.fullmatch(text):
        return float(text)
    return float(text.replace(".", "")) if BEYOND.fullmatch(text) else text


ENDS = ("<stream end>", "<document start>", "<document end>")
CLOSES = {"sequence": ("[", "]"), "mapping": ("{", "}")}


def _explain(error: yaml.MarkedYAMLError) -> tuple[yaml.Mark | None, dict[str, str]]:
    """Say what PyYAML found in words for people who do not know its grammar."""
    problem, context, mark = error.problem or "", error.context or "", error.problem_mark
    opened = context.removeprefix("while parsing a flow ")
    if "'\\t'" in problem:
        return mark, _words("a tab where only spaces can stand", fix="replace it by spaces")
    if opened in CLOSES and "but got" in problem:
        left, right = CLOSES[opened]
        if problem.endswith(tuple(f"'{end}'" for end in ENDS)):
            return error.context_mark, _words(f"this {left} is never closed", fix=f"add a {right}")
        line = error.context_mark.line + 1 if error.context_mark else 1
        return mark, _words(
            f"a comma or {right} is missing before this",
            fix=f"put a {right} where what the {left} of line {line} opens ends, or a comma here",
        )
    if "single document" in context:
        return mark, _words("a second document begins here", "one experiment in a file")
    if "quoted scalar" in context and "end of" in problem:
        return error.context_mark, _words("this quote is never closed", fix="close it")
    if "mapping values are not allowed" in problem:
        return mark, _words(
            "a colon where none can stand",
            fix="check the indentation; put text with a colon in quotes",
        )
    if "could not find expected ':'" in problem:
        return error.context_mark, _words("a key without a colon", "key: value")
    if "cannot start any token" in problem:
        return mark, _words("a value cannot begin with this character", fix="put it in quotes")
    if "<block end>" in problem or "sequence entries are not allowed" in problem:
        return mark, _words(
            "this does not continue what stands above", fix="check the indentation and the quotes"
        )
    if "node content" in problem:
        return mark, _words(
            "a value is missing here", fix="write one, or remove the comma or colon"
        )
    return mark, _words(f"this is not YAML: {problem}")


def _words(problem: str, expected: str = "", fix: str = "") -> dict[str, str]:
    return {"problem": problem, "expected": expected, "fix": fix}
