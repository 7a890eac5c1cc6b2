"""A run as one HTML file that opens anywhere: no network, nothing beside it, the same bytes always.

Without JavaScript it has all tables and figures; with it, curves can be pointed at, switched and
compared along a swept axis. Everything a user has named is escaped by the template; a policy in the
page itself forbids every request, and every script but the page's own.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from pathlib import Path
from typing import Any

from gradflow._version import __version__
from gradflow.errors import UserError
from gradflow.experiment.store.runs import Run
from gradflow.experiment.store.whole import write_atomic
from gradflow.report.figures.style import COLOURS, DARKER
from gradflow.report.page.content import content
from gradflow.report.page.palette import properties

__all__ = ["page", "report"]


def report(run: Run, out: str | Path | None = None, *, state: str | None = None) -> Path:
    """Write the page of a run.

    Parameters
    ----------
    run : Run
        A stored run, or results in memory.
    out : path, optional
        The file, or a folder for ``NAME.html``; default ``report.html`` in the run's folder.
    state : str, optional
        The state to judge by; default as in all tables.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UserError
        If jinja2 is not installed, the run holds nothing, or the file cannot be written.
    """
    path = run.path / "report.html" if out is None else Path(out)
    path = path / f"{run.name}.html" if path.is_dir() else path
    if path.suffix not in (".html", ".htm"):
        raise UserError(
            f"{path}: a report is written as HTML\n  fix: --out {path.with_suffix('.html')}"
        )
    write_atomic(path, page(run, state).encode())
    return path


def page(run: Run, state: str | None = None) -> str:
    """Return the page of a run as text; see `report`."""
    template = _template()
    shown = content(run, state)
    drawn = [one.drawing.colours for part in shown.sections for one in part.figures]
    light, dark = properties(frozenset(map(str.lower, COLOURS + DARKER)).union(*drawn))
    script = _file("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return str(
        template.render(
            shown=shown, light=light, dark=dark, style=_file("page.css"), script=script,
            digest=digest, version=__version__,
        )
    )  # fmt: skip


def _template() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise UserError(
            "report needs jinja2, which is not installed\n  fix: pip install 'gradflow-rnn[report]'"
        ) from error
    house = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    house.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    house.filters["powers"] = _powers
    return house.from_string(_file("page.html"))


def _powers(text: str) -> Any:
    """Raise the exponents of a sentence, ``10^-1.5``, and keep signs of per cent with numbers."""
    from markupsafe import Markup, escape

    raised = re.sub(r"10\^(-?)([\d.]*\d)", _raised, str(escape(text)).replace(" %", "\u00a0%"))
    return Markup(raised)  # nothing in it but sup is markup


def _raised(found: re.Match[str]) -> str:
    return f"10<sup>{'−' if found[1] else ''}{found[2]}</sup>"


def _file(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
