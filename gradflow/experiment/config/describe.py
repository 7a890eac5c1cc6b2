"""Every key of an experiment file as a page, made from the schema that editors complete from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gradflow.experiment.config.cell import kinds
from gradflow.experiment.config.dump import schema
from gradflow.experiment.config.sections import ORDER

__all__ = ["EXAMPLES", "keys_page"]

HEAD = """\
# Every key of an experiment file

Made from the models that check the file: `gradflow schema --markdown` writes this page, and
`gradflow schema` the same as a JSON Schema, from which editors complete.
A key that is not listed here is a mistake, and one that would have no effect beside the others is
said. Lengths, lags and steps are counted in steps of the input, slopes in decades (powers of ten)
per step, memory in bytes. Where a value is free, `null` means that it follows from the rest.

Any value can be given on the command line, `gradflow run mine.yaml model.hidden=64`, or become an
axis of the sweep under its dotted path: `sweep: {model.hidden: [16, 64]}`.
"""

EXAMPLES = {
    "": "name: mine\nmodel: {cell: lstm}\ninputs: {kind: digits}\nlength: 128\nseed: 3\n"
    "memory: 512MiB\n",
    "model": "model: {cell: {kind: lstm, peephole: diagonal}, hidden: 64, layers: 2, "
    "bidirectional: true}\n",
    "layers": "model:\n  layers:\n    - {cell: lstm, hidden: 64, bidirectional: true}\n"
    "    - {cell: gru, hidden: 16}\n",
    "cell": "model: {cell: {kind: gru, reset: after}}\n",
    "inputs": "inputs: {kind: adding, sequences: 32, seed: 1}\n",
    "init": "init: {recurrent: normal, recurrent_gain: 0.9, forget_bias: {chrono: 784}}\n",
    "loss": "loss: {kind: sum, at: [10, 20]}\n",
    "sweep": "sweep:\n  model.cell: [rnn, {kind: lstm, coupled: true}]\n  length: [16, 64]\n"
    "  seed: 5\n",
    "record": "record: {states: [h, s, x], every: log, gates: true}\n",
    "train": "loss: {kind: cross_entropy}\ninputs: {kind: temporal-order}\n"
    "train: {optimiser: {kind: adam, rate: 0.001}, clip: {norm: 1.0}, updates: 500}\n",
    "check": "check: {tolerance: 1.0e-6, assert: [{cell: lstm, state: h, slope: [-1, 0.1]}]}\n",
}
"""What a section may look like, by the key that opens it."""

PARTS = {
    "model": (("layers", "LayerConfig", "an entry of model.layers"),),
    "train": (
        ("", "OptimiserConfig", "train.optimiser"),
        ("", "ClipConfig", "train.clip"),
        ("", "HeadConfig", "train.head"),
        ("", "UntilConfig", "train.until"),
        ("", "WatchConfig", "train.watch"),
        ("", "WindowConfig", "train.gradient"),
    ),
    "record": (("", "truncation", "record.truncation"),),
    "check": (("", "AssertConfig", "an entry of check.assert"),),
}
"""Sections inside sections: example, model, title."""

LONGEST = 90
"""Characters of a default that is written out."""


def keys_page() -> str:
    """Write the page, registered cells, inputs, losses and recordings included."""
    whole = schema()
    models: dict[str, Any] = whole["$defs"]
    top = whole["properties"]
    lines = [HEAD, *_section("The file", {key: top[key] for key in ORDER}, "")]
    for key in ORDER:
        name = _name(top[key])
        if key == "sweep":
            lines += ["## sweep", "", f"{top[key]['description']}", "", *_example("sweep")]
        elif name and "oneOf" in models[name]:
            lines += _kinds(key, models, models[name]["discriminator"]["mapping"])
        elif name:
            about = models[name].get("description", "")
            lines += _section(key, models[name]["properties"], key, about)
        if key == "model":
            lines += _cells(models["CellConfig"])
        for example, part, title in PARTS.get(key, ()):
            about = models[part].get("description", "")
            lines += _section(title, models[part]["properties"], example, about, "###")
    return "\n".join(lines).rstrip() + "\n"


def _section(
    title: str, keys: Mapping[str, Any], example: str, about: str = "", level: str = "##"
) -> Iterator[str]:
    """A heading, what it is about, an example, and a row for each key."""
    yield from (f"{level} {title}", "")
    if about:
        yield from (" ".join(about.split()), "")
    if example in EXAMPLES and (example or level == "##"):
        yield from _example(example)
    yield from _table(keys)


def _example(name: str) -> Iterator[str]:
    yield from ("```yaml", EXAMPLES[name].rstrip(), "```", "")


def _table(keys: Mapping[str, Any]) -> Iterator[str]:
    yield from ("| key | values | default | what it is |", "|---|---|---|---|")
    for key, given in keys.items():
        cells = (f"`{key}`", _values(given), _default(given), given.get("description", ""))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _kinds(key: str, models: Mapping[str, Any], each: Mapping[str, str]) -> Iterator[str]:
    """A section with a kind: what every kind has, then what each has of its own."""
    tables = {kind: dict(models[ref.split("/")[-1]]["properties"]) for kind, ref in each.items()}
    first = next(iter(tables.values()))
    common = [
        name
        for name in first
        if name != "kind" and all(table.get(name) == first[name] for table in tables.values())
    ]
    shared = {"kind": first["kind"] | {"enum": list(each), "description": "which"}}
    yield from _section(key, shared | {name: first[name] for name in common}, key)
    for kind, table in tables.items():
        own = {name: given for name, given in table.items() if name not in (*common, "kind")}
        about = models[each[kind].split("/")[-1]].get("description", "").split("\n\n")[0]
        yield from (f"### {key}: {{kind: {kind}}}", "", " ".join(about.split()), "")
        if own:
            yield from _table(own)


def _cells(one: Mapping[str, Any]) -> Iterator[str]:
    forms = [form for form in one["anyOf"] if "properties" in form]
    yield from ("### model.cell", "", f"{one['description']} One of {', '.join(kinds())}.", "")
    yield from _example("cell")
    for form in forms:
        own = {name: given for name, given in form["properties"].items() if name != "kind"}
        if own:
            yield from (f"#### {form['properties']['kind']['const']}", "", *_table(own))


def _name(given: Mapping[str, Any]) -> str:
    """The model that a key's value belongs to, or ``""``."""
    refs = [one.get("$ref", "") for one in (given, *given.get("anyOf", ()))]
    return next((ref.split("/")[-1] for ref in refs if ref), "")


def _values(given: Mapping[str, Any]) -> str:
    """What a value may be, in words."""
    if "anyOf" in given:
        return " or ".join(dict.fromkeys(_values(one) for one in given["anyOf"]))
    if "$ref" in given:
        return "a mapping" if "Cell" not in given["$ref"] else "a kind, or a mapping"
    if "enum" in given:
        return ", ".join(f"`{word}`" for word in given["enum"])
    if "const" in given:
        return f"`{given['const']}`"
    kind = given.get("type")
    if kind == "array":
        items: dict[str, Any] = given.get("items") or next(iter(given.get("prefixItems", ())), {})
        return f"list: {_values(items)}" if items else "list"
    words = {"null": "`null`", "boolean": "`true`, `false`", "string": "text"}
    if kind in ("integer", "number"):
        return ("whole number" if kind == "integer" else "number") + _bounds(given)
    return words.get(str(kind), "a mapping")


def _bounds(given: Mapping[str, Any]) -> str:
    low, above = given.get("minimum"), given.get("exclusiveMinimum")
    high, below = given.get("maximum"), given.get("exclusiveMaximum")
    said = [f"≥ {_number(low)}"] if low is not None else []
    said += [f"> {_number(above)}"] if above is not None else []
    said += [f"≤ {_number(high)}"] if high is not None else []
    said += [f"< {_number(below)}"] if below is not None else []
    return f" {', '.join(said)}" if said else ""


def _number(value: float) -> str:
    if value == 2**63 - 1:
        return "2⁶³ − 1"
    exponent = round(math.log10(value)) if value >= 10**5 else 0
    return f"1e{exponent}" if exponent and value == 10**exponent else f"{value:g}"


def _default(given: Mapping[str, Any]) -> str:
    if "default" not in given:
        return "–" if "description" in given else ""
    value = given["default"]
    if isinstance(value, Mapping) and value:
        return "its own defaults"
    text = _written(value)
    return f"`{text}`" if len(text) <= LONGEST else "see there"


def _written(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_written, value))}]"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
