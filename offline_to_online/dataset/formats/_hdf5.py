"""HDF5 files that a stranger made: opened safely, with nothing in them followed elsewhere or unpickled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from offline_to_online.dataset.files import require_readable
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

# What h5py raises for a damaged file, by where the damage lies.
BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError)
CACHE_BYTES = 64 * 2**20  # an episode is a slice of several compressed chunks: keep those that the next one shares


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An HDF5 file, open for reading.

    Raises:
        DataError: the file is missing, a pickle, truncated or no HDF5.
    """
    require_readable(path)
    with reading(path):
        file = h5py.File(path, "r", rdcc_nbytes=CACHE_BYTES)
    with file:
        yield file


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Calls of h5py alone, so that whatever they raise is about the file.

    Raises:
        DataError: HDF5 cannot read the file, or this part of it.
    """
    try:
        yield
    except BROKEN as error:
        raise DataError(
            f"not readable as HDF5: {error}",
            where=str(path),
            limit="a whole HDF5 file",
            remedy="copy or record the file again",
        ) from error


def values_of(data: Any, selection: Any, path: Path) -> Array:
    """Entries of a data set, as they stand in the file.

    Raises:
        DataError: they cannot be read.
    """
    with reading(path):
        return np.asarray(data[selection])


def optional(file: Any, name: str, path: Path) -> Any:
    """The data set of that name; None where there is none. Only what lies in this very file is followed.

    Raises:
        DataError: it is a link, lies in another file, or holds anything but numbers (texts for an operator);
            or the file is damaged there.
    """
    with reading(path):
        return _found(file, name, path)


def _found(file: Any, name: str, path: Path) -> Any:
    place, node = "", file
    for part in name.split("/"):
        if not isinstance(node, h5py.Group) or (link := node.get(part, getlink=True)) is None:
            return None
        place = f"{place}/{part}"
        if not isinstance(link, h5py.HardLink):
            raise _foreign(path, place, "a link")
        node = node[part]
    if not isinstance(node, h5py.Dataset):
        return None
    if node.external or node.is_virtual:
        raise _foreign(path, place, "stored in another file")
    if node.dtype.kind not in "fiub" and not (name.endswith("/operator") and _is_text(node.dtype)):
        raise DataError(
            f"{place} holds {node.dtype}",
            where=str(path),
            limit="numbers (texts for operator)",
            remedy="store plain numbers",
        )
    _require_written(node, path, place)
    return node


def _require_written(data: Any, path: Path, place: str) -> None:
    """Refuse what the file announces and does not hold: HDF5 would read it as zeros, without a word."""
    if data.shape is None or data.size == 0:
        return
    if data.chunks is None:
        whole = data.id.get_storage_size() > 0
    else:
        wanted = math.prod(-(-rows // chunk) for rows, chunk in zip(data.shape, data.chunks, strict=True))
        whole = data.id.get_num_chunks() >= wanted
    if not whole:
        limit = f"all of its shape {data.shape}"
        raise DataError(
            f"{place} was never written in whole", where=str(path), limit=limit, remedy="copy or record it again"
        )


def _foreign(path: Path, place: str, what: str) -> DataError:
    limit = "the data lies in the file itself, so that its hash covers it"
    return DataError(f"{place} is {what}", where=str(path), limit=limit, remedy="copy the data into the file")


def _is_text(dtype: Any) -> bool:
    return dtype.kind == "S" or h5py.check_string_dtype(dtype) is not None
