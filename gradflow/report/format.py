"""How numbers, settings and names read in tables, figures and messages.

The minus sign in prose and tables is U+2212, in an exponent (``10^-13.5``, ``1.2e-5``) the ASCII
hyphen. `plain` turns any of these texts into ASCII for a terminal that knows no more.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from gradflow.errors import UserError, visible

__all__ = [
    "as_data",
    "axis",
    "axis_names",
    "cell_name",
    "decades",
    "lag",
    "number",
    "one_of",
    "plain",
    "plus_minus",
    "power",
    "setting",
    "shortest",
    "wrap",
]

S = TypeVar("S", bound=str)

EXACT_ZERO = "exact 0"
"""The text of a log10 norm of −inf: the derivative is zero by structure."""

_ASCII = str.maketrans(
    {
        "−": "-", "∞": "inf", "±": "+/-", "×": "x", "½": "1/2", "–": "-", "…": "...", "→": "fwd",
        "←": "bwd", "↔": "both", "‖": "|", "∂": "d", "≤": "<=", "·": ".", "—": "-", "₂": "2",
        "µ": "u", "γ": "gamma", "χ": "chi", "Σ": "sum", "Π": "prod", "σ": "sigma", "²": "^2",
    }
)  # fmt: skip

_BREAKS = (
    re.compile(r"(?<=[ ,·])(?!%)|(?=\()"),
    re.compile(r"(?<=[=_])"),
)
"""Where a text may be broken: after a space, comma or dot and before a bracket; inside a name only
where that does not do."""


def plain(text: str) -> str:
    """Write `text` in ASCII."""
    return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


def cell_name(label: str) -> str:
    """Write a cell's label with room to break: ``lstm (peephole=diagonal)``."""
    return label.replace("(", " (", 1).replace(", ", ",").replace(",", ", ")


def shortest(text: str, measure: Callable[[str], float] = len, word: float = 0) -> float:
    """Return the least width at which `wrap` cuts no word, and breaks none inside up to `word`."""
    return max(measure(piece.strip()) for piece in _pieces(text, word, measure))


def wrap(text: str, width: float, measure: Callable[[str], float] = len) -> list[str]:
    """Break a text into lines of at most `width`; inside of words only where it must be."""
    lines = [""]
    for piece in _pieces(text, width, measure):
        if measure((lines[-1] + piece).rstrip()) <= width:
            lines[-1] += piece
            continue
        if lines[-1]:
            lines.append("")
        for letter in piece.lstrip():
            if lines[-1] and measure(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return [line.rstrip() for line in lines]


def _pieces(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Take a text apart at words, and words that are wider than `width` inside."""
    rough, fine = _BREAKS
    found: list[str] = []
    for piece in rough.split(text):
        found += [piece] if measure(piece.strip()) <= width else fine.split(piece)
    return found


def number(value: float, digits: int = 3) -> str:
    """Round to `digits` significant digits: ``2.21``, ``51.3``, ``1200``, ``1.20e5``, ``∞``."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if -3 <= exponent < 5:
        return _minus(f"{value:.{max(0, digits - 1 - exponent)}f}")
    return _scientific(value, digits - 1)


def decades(value: float) -> str:
    """Write a difference of log10 norms: ``−13.5``, ``exact 0`` for −inf."""
    return EXACT_ZERO if value == -math.inf else _minus(f"{_unsigned_zero(value, 1):.1f}")


def power(exponent: float) -> str:
    """Write the number whose log10 is `exponent`: ``10^-13.5``, ``exact 0`` for −inf."""
    return EXACT_ZERO if exponent == -math.inf else f"10^{_unsigned_zero(exponent, 1):.1f}"


def lag(value: float) -> str:
    """Write a number of steps, whole where it can be: ``52``, ``15251``, ``1.2e5``, ``∞``."""
    return (
        str(round(value))
        if value < 1e5 and (value >= 10 or value == round(value))
        else number(value)
    )


def plus_minus(value: float, spread: float | None = None) -> str:
    """Write a value and its spread to the digits that the spread leaves: ``−0.136 ± 0.004``."""
    if spread is None:
        return number(value)
    if spread < 1e-12 * abs(value):  # rounding
        spread = 0.0
    if value == 0:
        return f"0 ± {number(spread, 1)}"
    if max(abs(value), spread) < 1e-3:
        exponent = math.floor(math.log10(abs(value)))
        return f"({plus_minus(value / 10.0**exponent, spread / 10.0**exponent)})e{exponent}"
    most = 3 - math.floor(math.log10(abs(value)))
    if spread == 0 or spread < 0.5 * 10.0**-most:
        return f"{number(value, 4)} ± {number(spread, 1)}"
    places = -math.floor(math.log10(spread))
    if round(spread * 10**places) == 1:  # a leading 1 would hide up to half of itself
        places += 1
    places = max(0, min(places, most))
    return f"{_minus(f'{_unsigned_zero(value, places):.{places}f}')} ± {spread:.{places}f}"


def setting(value: Any) -> str:
    """Write a swept axis' value on one line: ``0.5``, ``chrono 100``, ``[8, 16]``, ``true``.

    What would not show in a text is escaped, as it could steer a terminal, and no SVG can hold it.
    """
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {setting(item)}" for key, item in value.items())
    if isinstance(value, Sequence):
        return f"[{', '.join(setting(item) for item in value)}]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _minus(json.dumps(value))
    return json.dumps(value, ensure_ascii=False, default=str)


def one_of(what: str, name: str, names: Sequence[S]) -> S:
    """Return `name`, which has to be one of a few.

    Raises
    ------
    UserError
        If it is none of them; names the nearest.
    """
    for known in names:
        if known == name:
            return known
    from gradflow.experiment.config.text.mistakes import nearest

    near = nearest(name, names)
    fix = f"\n  fix: did you mean {near}?" if near else ""
    raise UserError(f"no {what} {name!r}; there is {', '.join(names)}{fix}")


def as_data(value: Any) -> Any:
    """Make `value` fit for strict JSON: a number that is not finite becomes a text, ``"-inf"``."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): as_data(item) for key, item in value.items()}
    return value


def axis(path: str) -> str:
    """Shorten a dotted path to its last part: ``init.recurrent_gain`` → ``recurrent gain``.

    A gate's name is too short to stand alone: ``init.bias.z`` → ``bias z``.
    """
    *front, last = path.split(".")
    name = f"bias {last}" if front[-1:] == ["bias"] else last
    return name.replace("_", " ")


def axis_names(paths: Iterable[str]) -> dict[str, str]:
    """Shorten several dotted paths, but leave whole those whose short names would be the same."""
    paths = list(paths)
    short = [axis(path) for path in paths]
    return {
        path: path if short.count(name) > 1 else name
        for path, name in zip(paths, short, strict=True)
    }


def _unsigned_zero(value: float, places: int) -> float:
    """Round, so that nothing is written as −0.0."""
    return round(value, places) + 0.0


def _scientific(value: float, places: int) -> str:
    mantissa, _, exponent = f"{value:.{places}e}".partition("e")
    return f"{_minus(mantissa)}e{int(exponent)}"


def _minus(text: str) -> str:
    return text.replace("-", "−")
