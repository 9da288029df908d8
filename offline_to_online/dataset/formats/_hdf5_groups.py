"""Groups of an HDF5 file that a stranger made: what lies in them, with nothing followed elsewhere or made up."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from offline_to_online.dataset.formats._hdf5 import attribute, own, reading, require_written, values_of
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

NUMBERS = "fiub"


def entries(group: Any, path: Path) -> dict[str, Any]:
    """Groups and data sets directly in a group, by name, in the file's order.

    Raises:
        DataError: one of them is a link, or lies in another file; or the file is damaged there.
    """
    with reading(path):
        names = list(group)
    return {name: own(group, name, path) for name in names}


def is_numeric(node: Any) -> bool:
    """Whether it is a data set of plain numbers, with at least one row's worth of shape."""
    return isinstance(node, h5py.Dataset) and node.dtype.kind in NUMBERS and node.ndim > 0


def is_text(data: Any) -> bool:
    """Whether it is a data set of texts, of one length or of any."""
    return isinstance(data, h5py.Dataset) and (
        data.dtype.kind == "S" or h5py.check_string_dtype(data.dtype) is not None
    )


def is_image(data: Any) -> bool:
    """Whether its rows are pictures: (rows, H, W, C), or bytes of (rows, H, W)."""
    return is_numeric(data) and (data.ndim >= 4 or (data.ndim == 3 and data.dtype == np.uint8))


def is_vector(data: Any) -> bool:
    """Whether its rows are numbers that a manifest may select: no picture, and more than nothing."""
    return is_numeric(data) and not is_image(data) and width_of(data) > 0


def width_of(data: Any) -> int:
    """Numbers a row."""
    return math.prod(data.shape[1:])


def rows_of(data: Any, rows: int, path: Path, *, where: str) -> Array:
    """All of a data set as it stands in the file, as (rows, width).

    Raises:
        DataError: it holds no numbers or another number of rows, was never written in whole, or cannot be read.
    """
    require_rows(data, rows, where=where)
    require_written(data, path, where=where)
    return values_of(data, slice(None), path).reshape(rows, width_of(data))


def column_of(data: Any, rows: int, path: Path, *, where: str) -> Array:
    """As ``rows_of``, for one number a row: (rows,).

    Raises:
        DataError: as ``rows_of``, or the rows are wider.
    """
    values = rows_of(data, rows, path, where=where)
    if values.shape[1] != 1:
        limit = f"one number for each of {rows} actions"
        raise DataError(f"{data.name} has the shape {data.shape}", where=where, limit=limit, remedy="mend the file")
    return values[:, 0]


def require_rows(data: Any, rows: int, *, where: str) -> None:
    """Refuse what is not numbers with this many rows.

    Raises:
        DataError: with its name, and both numbers of rows.
    """
    if not is_numeric(data):
        what = f"{data.name} holds no rows of numbers"
        raise DataError(what, where=where, limit="an array of numbers", remedy="mend the file")
    if len(data) != rows:
        limit = f"{rows}, one for each action"
        raise DataError(f"{data.name} has {len(data)} rows", where=where, limit=limit, remedy="record it again")


def count_in(node: Any, name: str, path: Path) -> int | None:
    """An attribute that counts something; None where there is none.

    Raises:
        DataError: it is no whole number.
    """
    value = attribute(node, name, path)
    if value is None:
        return None
    number = np.asarray(value)
    if number.size == 1 and number.dtype.kind in NUMBERS and np.isfinite(number).all() and (number % 1 == 0).all():
        return int(number.reshape(()))
    where = f"{path}, {node.name}"
    raise DataError(f"{name} is {str(value)[:40]!r}", where=where, limit="a whole number", remedy="mend the attribute")


def json_in(node: Any, name: str, path: Path) -> dict[str, Any]:
    """An attribute that is a JSON object; empty where there is none.

    Raises:
        DataError: it is no JSON object.
    """
    text = attribute(node, name, path)
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except (TypeError, ValueError) as error:
        raise _no_json(node, name, path, str(error)) from error
    if not isinstance(value, dict):
        raise _no_json(node, name, path, f"it is a {type(value).__name__}")
    return value


def _no_json(node: Any, name: str, path: Path, why: str) -> DataError:
    return DataError(
        f"{name} is not readable as JSON: {why}",
        where=f"{path}, {node.name}",
        limit="a JSON object",
        remedy="mend the attribute",
    )
