"""A verdict of the gate in the forms that people and CI services read."""

from __future__ import annotations

import json
import math
import re
import shlex
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args
from xml.etree import ElementTree

from gradflow.gate.baseline import Change
from gradflow.gate.compare import Finding, Judgement
from gradflow.gate.naming import in_decades

__all__ = ["FORMATS", "Format", "accepted", "headline", "write_verdict"]

Format: TypeAlias = Literal["text", "json", "junit", "github"]
FORMATS: tuple[Format, ...] = get_args(Format)

SHOWN = 10
"""How many findings the text shows; the other formats have them all."""

UNFIT = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold."""


def write_verdict(
    verdict: Judgement, format: Format, *, config: str, accept: str, accept_case: str = ""
) -> str:
    """Write a verdict.

    Parameters
    ----------
    verdict : Judgement
        What the gate found.
    format : {"text", "json", "junit", "github"}
        For people, programs, test reports, or annotations on a pull request.
    config : str
        The experiment file, as the user named it.
    accept : str
        The command that makes the measured values the expected ones.
    accept_case : str
        The same for one case, whose name it ends before.
    """
    if format == "json":
        return _json(verdict, config, accept)
    if format == "junit":
        return _junit(verdict, accept)
    return (
        _github(verdict, config, accept)
        if format == "github"
        else _text(verdict, accept, accept_case)
    )


def accepted(path: Path, change: Change) -> str:
    """Say what a new baseline has accepted."""
    accepted = len(change.findings)
    lines = [f"{path}: {change.total} cases, {accepted} changed, {change.kept} as they were"]
    for one in change.findings[:SHOWN]:
        lines += [f"{one.kind:>10}  {one.case}", f"            {one.reason}{_difference(one)}"]
    if accepted > SHOWN:
        lines += [f"            … and {accepted - SHOWN} more"]
    return "\n".join(lines) + "\n"


def _difference(finding: Finding) -> str:
    """Say by how much a case differs, where that is a number."""
    if math.isinf(finding.difference) or finding.kind == "invariant":
        return ""
    unit = " decades" if in_decades(finding.case) else ""
    return f" ({finding.difference:+.3g}{unit})"


def headline(verdict: Judgement) -> str:
    """Say in a line whether all is well, and of how many cases that is said."""
    asserted = f", {verdict.asserted} asserted" if verdict.asserted else ""
    count = f"{len(verdict.compared)} cases compared{asserted}"
    if verdict.exit_code == 4:
        return f"{verdict.name}: nothing was compared"
    if not verdict.findings:
        return f"{verdict.name}: passed, {count}, tolerance {verdict.tolerance:g} decades"
    return (
        f"{verdict.name}: FAILED in {len(verdict.findings)} cases ({count},"
        f" tolerance {verdict.tolerance:g} decades), the worst first"
    )


def _text(verdict: Judgement, accept: str, accept_case: str) -> str:
    lines = [headline(verdict)]
    for one in verdict.findings[:SHOWN]:
        lines += [f"{one.kind:>10}  {one.case}", f"            {one.reason}{_difference(one)}"]
    if len(verdict.findings) > SHOWN:
        lines += [f"            … and {len(verdict.findings) - SHOWN} more; --format json has all"]
    if any(map(_acceptable, verdict.findings)):
        lines += [f"If this is meant, accept it with:\n  {accept}"]
    worst = next((one.case for one in verdict.findings if _acceptable(one)), None)
    if accept_case and worst:
        lines += [f"or the first alone:\n  {accept_case} {shlex.quote(worst)}"]
    return "\n".join(lines) + "\n"


def _json(verdict: Judgement, config: str, accept: str) -> str:
    content = {
        "name": verdict.name,
        "config": config,
        "exit_code": verdict.exit_code,
        "passed": verdict.exit_code == 0,
        "tolerance": verdict.tolerance,
        "compared": len(verdict.compared),
        "asserted": verdict.asserted,
        "findings": [_plain(vars(finding)) for finding in verdict.findings],
        "accept": accept,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Turn what strict JSON cannot hold into text."""
    return {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in fields.items()
    }


def _junit(verdict: Judgement, accept: str) -> str:
    bad = {finding.case for finding in verdict.findings}
    good = [name for name in verdict.compared if name not in bad]
    suite = ElementTree.Element(
        "testsuite",
        name=f"gradflow check {verdict.name}",
        tests=str(len(verdict.findings) + len(good)),
        failures=str(len(verdict.findings)),
        errors="0",
        skipped="0",
    )
    for finding in verdict.findings:
        case = _junit_case(suite, verdict, finding.case)
        message = f"{finding.kind}: {finding.reason}{_difference(finding)}"
        failure = ElementTree.SubElement(
            case, "failure", type=finding.kind, message=UNFIT.sub("?", message)
        )
        failure.text = UNFIT.sub("?", f"{message}\nIf this is meant, accept it with:\n  {accept}")
    for name in good:
        _junit_case(suite, verdict, name)
    ElementTree.indent(suite)
    text = ElementTree.tostring(suite, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _junit_case(suite: ElementTree.Element, verdict: Judgement, name: str) -> ElementTree.Element:
    where = f"gradflow.{verdict.name}"
    return ElementTree.SubElement(suite, "testcase", classname=where, name=UNFIT.sub("?", name))


def _github(verdict: Judgement, config: str, accept: str) -> str:
    if verdict.exit_code == 0:
        return f"::notice title=gradflow::{_data(headline(verdict))}\n"
    lines = []
    for one in verdict.findings:
        words = f"{one.case}\n{one.reason}{_difference(one)}\nIf this is meant: {accept}"
        title = f"gradflow {verdict.name}: {one.kind}"
        lines.append(f"::error file={_property(config)},title={_property(title)}::{_data(words)}")
    lines = lines or [f"::error file={_property(config)}::{_data(headline(verdict))}"]
    return "\n".join(lines) + "\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _acceptable(finding: Finding) -> bool:
    """Whether a new baseline would help: it does not against assertions and failed points."""
    return finding.kind not in ("invariant", "failed")
