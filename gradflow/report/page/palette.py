"""Colours of the page, in the light and in the dark: what is read, and what curves are drawn in.

A figure keeps the colours that it has on paper. In the dark each is mixed with white until it
stands out from the ground as text has to (a contrast of 4.5, WCAG 2.2).
"""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.colors import to_hex, to_rgb

__all__ = ["CONTRAST", "DARK", "LIGHT", "coloured", "contrast", "properties", "readable"]

LIGHT = {
    "ground": "#ffffff", "raised": "#f4f6f8", "line": "#d5dae0", "ink": "#1b1f24",
    "quiet": "#57606a", "accent": "#0b5cad", "vanishes": "#8a5300", "steady": "#136c2e",
    "explodes": "#b3202a",
}  # fmt: skip
DARK = {
    "ground": "#14171c", "raised": "#1d2229", "line": "#3a424d", "ink": "#e6e8eb",
    "quiet": "#a3abb5", "accent": "#7fb8f0", "vanishes": "#e3b341", "steady": "#6fd08c",
    "explodes": "#ff8f8a",
}  # fmt: skip
"""What the page is made of, by what it is for; both have the same names."""

CONTRAST = 4.5
"""Between text and its ground, at least."""


def contrast(one: str, other: str) -> float:
    """Return (L₁ + 0.05) / (L₂ + 0.05) of two colours' relative luminances, the lighter first."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def readable(colour: str) -> str:
    """Mix a colour with white until it stands out from a dark ground."""
    mixed = colour
    for share in range(1, 21):
        if contrast(mixed, DARK["ground"]) >= CONTRAST:
            break
        red, green, blue = (c + (1 - c) * share / 20 for c in to_rgb(colour))
        mixed = to_hex((red, green, blue))
    return mixed


def coloured(colour: str) -> str:
    """Refer to a drawn colour: ink is the text's, paper is nothing, others are properties."""
    return {"#000000": "currentColor", "#ffffff": "none"}.get(colour, f"var(--{colour[1:]})")


def properties(drawn: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the page's custom properties, light and dark, for itself and for drawn colours."""
    curves = sorted(set(drawn))
    return (
        LIGHT | {colour[1:]: colour for colour in curves},
        DARK | {colour[1:]: readable(colour) for colour in curves},
    )


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
