"""Experiments as text: one to start from, resolved YAML, the JSON Schema that editors use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel

from gradflow.experiment.config import cell
from gradflow.experiment.config.axes import writable
from gradflow.experiment.config.by_kind import input_kinds, input_model, loss_kinds, loss_model
from gradflow.experiment.config.sections import ORDER, Experiment, record_model
from gradflow.experiment.config.text.yaml import resolve

__all__ = ["STARTER", "dump", "schema", "settings"]

STARTER = """\
# How far does error flow back?  gradflow run this-file.yaml, then gradflow plot
# Every key but model.cell and inputs.kind has a default; `gradflow schema` describes them all.

# name: my-experiment                 # results go to results/NAME; default: this file's name

model:
  cell: lstm                          # rnn, cec, lstm, gru, block, or with options:
                                      # {kind: lstm, peephole: diagonal}, {kind: gru, reset: after}
  hidden: 32                          # units of each layer
  layers: 1
  bidirectional: false
  # weights: model.pt                 # a trained PyTorch model instead; all else follows from it

inputs:
  kind: digits                        # noise, adding, copy, temporal-order, reber, distractors,
                                      # or file with path: data.npy (.npz, .csv, .txt)
  sequences: 16

init:
  recurrent: orthogonal               # normal, uniform, glorot, orthogonal, identity
  recurrent_gain: 1.0
  input: glorot
  forget_bias: 1.0                    # or {chrono: 784}: memories of up to 784 steps

loss:
  kind: probe                         # norms start at 10^0; or sum, mse, cross_entropy
  at: last                            # or all, or a list of steps: [10, 20]

sweep:                                # the product of axes; each is a path into this file
  model.cell: [rnn, lstm, gru]
  length: [16, 32, 64, 128]
  seed: 3                             # three sets of weights: seeds 0, 1, 2

record:
  states: [h, c, s]                   # dL/dh, dL/dc, dL/ds; x is dL/d(input)
  every: 1                            # each n-th step, or log

check:
  tolerance: 1.0e-6                   # decades that `gradflow check` lets a norm move
"""


def settings(experiment: Experiment, *, resolved: bool = True) -> dict[str, Any]:
    """Return an experiment as plain data with the file's keys.

    Parameters
    ----------
    experiment : Experiment
        What to write.
    resolved : bool
        Whether to write defaults out. Sizes that follow from imported weights are never written.
    """
    data = experiment.model_dump(by_alias=True, exclude_unset=not resolved)
    if experiment.model.weights is not None or "model.weights" in experiment.sweep:
        for name in ("model", "init"):
            data[name] = getattr(experiment, name).model_dump(exclude_unset=True)
    model = experiment.model
    if isinstance(model.layers, tuple):
        data["model"] = model.model_dump(exclude_unset=True, exclude={"cell"})
    else:
        data["model"]["cell"] = model.cell.written
    return {key: data[key] for key in ORDER if key in data}


def dump(experiment: Experiment) -> str:
    """Write an experiment as YAML that gives the same points wherever it is read.

    Defaults are written out, paths are absolute; how they were written stands below as a comment.
    """
    written = experiment.written.items()
    notes = [f"# {path!r} was written {text!r}\n" for path, text in written if path != text]
    return "".join([_yaml(experiment), *notes])


def _yaml(experiment: Experiment) -> str:
    return yaml.dump(
        _lists(settings(experiment)),
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=None,
        allow_unicode=True,
        width=100,
    )


class _Dumper(yaml.SafeDumper):
    """Writes what our reader reads: no aliases, quotes where a text looks like something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if isinstance(resolve(text), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _lists(value: Any) -> Any:
    """Tuples as lists: YAML knows no other sequence."""
    if isinstance(value, dict):
        return {key: _lists(part) for key, part in value.items()}
    return [_lists(part) for part in value] if isinstance(value, tuple | list) else value


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the experiment file, registered cells included."""
    whole = Experiment.model_json_schema()
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    whole["title"], whole["description"] = "gradflow experiment", "What to measure."
    whole["required"].remove("name")
    whole["properties"]["sweep"] = _sweep()
    # A required value may also come from the sweep.
    whole["$defs"]["ModelConfig"].pop("required")
    _define(whole, "RecordConfig", record_model())
    _by_kind(whole, "Inputs", {kind: input_model(kind) for kind in input_kinds()})
    _by_kind(whole, "LossConfig", {kind: loss_model(kind) for kind in loss_kinds()})
    whole["$defs"]["CellConfig"] = {
        "description": "A kind of cell, or its kind with options.",
        "anyOf": [{"enum": list(cell.kinds())}, *(_cell(kind) for kind in cell.kinds())],
    }
    return whole


def _by_kind(whole: dict[str, Any], name: str, each: Mapping[str, type[BaseModel]]) -> None:
    """Define a section as one of several models, by its kind."""
    for model in each.values():
        _define(whole, model.__name__, model)
    refs = {kind: f"#/$defs/{model.__name__}" for kind, model in each.items()}
    whole["$defs"][name] = {
        "discriminator": {"propertyName": "kind", "mapping": refs},
        "oneOf": [{"$ref": ref} for ref in refs.values()],
    }


def _define(whole: dict[str, Any], name: str, model: type[BaseModel]) -> None:
    """Put a model that was made from a registry in the place of its base."""
    made = model.model_json_schema()
    whole["$defs"] |= made.pop("$defs", {})
    whole["$defs"][name] = made


def _cell(kind: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"kind": {"const": kind}} | cell.option_schemas(kind),
        "required": ["kind"],
        "additionalProperties": False,
    }


def _sweep() -> dict[str, Any]:
    values = {"type": "array", "minItems": 1}
    count = {"type": "integer", "minimum": 1, "description": "this many seeds, from 0"}
    options = [f"model.cell.{name}" for name in cell.all_options()]
    biases = [f"init.bias.{gate}" for gate in cell.gates()]
    properties: dict[str, Any] = dict.fromkeys([*writable(), *options, *biases], values)
    return {
        "type": ["object", "null"],
        "description": "Cartesian product of axes: dotted paths into this file.",
        "properties": properties | {"seed": {"anyOf": [count, values]}},
        "additionalProperties": False,
    }
