"""Results as bytes: ordinary ``.npz`` files, the same for the same numbers.

An array lies in the file under its quantity's name (``h``, ``c``, ``s``, …), its coordinates
under ``name/axis`` (``h/step``), so that ``numpy.load`` opens them without gradflow. What NumPy's
format cannot say, the dims and the unit, stands in the member ``quantities.json``; which point it
is, and what code measured it, in ``point.json``.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gradflow.core.quantity import Quantity, Result
from gradflow.core.typing import Array

__all__ = ["decode", "encode", "origin"]

HEADER = "quantities.json"
ORIGIN = "point.json"
EPOCH = (1980, 1, 1, 0, 0, 0)  # zip's earliest time: the clock must not change the bytes


def encode(result: Result, origin: Mapping[str, Any]) -> bytes:
    """Return the bytes of a result and of where it came from; equal ones give equal bytes.

    Raises
    ------
    ValueError
        If an array holds Python objects, which could not be read back safely.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(HEADER, EPOCH), _header(result))
        archive.writestr(zipfile.ZipInfo(ORIGIN, EPOCH), json.dumps(origin, sort_keys=True))
        for name, array in _arrays(result):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), member.getvalue())
    return buffer.getvalue()


def decode(data: bytes) -> Result:
    """Return the result whose bytes these are: `encode`'s exact inverse."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        header = json.loads(archive[HEADER])
        return {
            key: Quantity(
                name=entry["name"],
                dims=tuple(entry["dims"]),
                values=archive[key],
                coords={axis: archive[f"{key}/{axis}"] for axis in entry["coords"]},
                unit=entry["unit"],
            )
            for key, entry in header.items()
        }


def origin(data: bytes) -> Any:
    """Return what `encode` was told of the origin; every member's own checksum is verified.

    Raises
    ------
    ValueError
        If these are not the bytes of a whole result.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.testzip() is None:
                return json.loads(archive.read(ORIGIN))
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, NotImplementedError) as error:
        raise ValueError(f"not a whole result ({error})") from error
    raise ValueError("not a whole result")


def _header(result: Result) -> str:
    return json.dumps(
        {
            key: {
                "name": quantity.name,
                "dims": quantity.dims,
                "unit": quantity.unit,
                "coords": list(quantity.coords),
            }
            for key, quantity in result.items()
        }
    )


def _arrays(result: Result) -> Iterator[tuple[str, Array]]:
    for key, quantity in result.items():
        yield key, quantity.values
        for axis, labels in quantity.coords.items():
            yield f"{key}/{axis}", labels
