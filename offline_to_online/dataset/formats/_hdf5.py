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
PLAIN = (h5py.h5t.STRING, h5py.h5t.INTEGER, h5py.h5t.FLOAT)
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
        data = _found(file, name, path)
    if data is not None and data.shape is not None:
        require_written(data, path, where=str(path))
    return data


def require_written(data: Any, path: Path, *, where: str) -> None:
    """Refuse what the file announces and does not hold: HDF5 would make room for it, and fill it with zeros.

    Raises:
        DataError: some of the data set was never written.
    """
    with reading(path):
        stored = data.id.get_storage_size()
        if data.chunks is None:
            whole = data.size * data.dtype.itemsize <= stored <= path.stat().st_size
        else:
            pieces = zip(data.shape, data.chunks, strict=True)
            needed = math.prod(math.ceil(n / chunk) for n, chunk in pieces)
            whole = data.id.get_num_chunks() >= needed and stored <= path.stat().st_size
    if not whole:
        limit = f"all of its shape {data.shape}"
        raise DataError(f"{data.name} was never written in whole", where=where, limit=limit, remedy="record it again")


def attribute(node: Any, name: str, path: Path) -> Any:
    """A text or a number that is an attribute of a group; None where there is none.

    Raises:
        DataError: it is neither, or cannot be read.
    """
    with reading(path):
        if name not in node.attrs:
            return None
        found = node.attrs.get_id(name)
        # Asked of HDF5 before the value is: h5py does not survive every damaged type.
        if found.get_type().get_class() not in PLAIN or len(found.shape) > 1:
            where, limit = f"{path}, {node.name}", "a text or a number"
            raise DataError(f"{name} is neither", where=where, limit=limit, remedy="mend the attribute")
        value = node.attrs[name]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


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
    return node


def _foreign(path: Path, place: str, what: str) -> DataError:
    limit = "the data lies in the file itself, so that its hash covers it"
    return DataError(f"{place} is {what}", where=str(path), limit=limit, remedy="copy the data into the file")


def _is_text(dtype: Any) -> bool:
    return dtype.kind == "S" or h5py.check_string_dtype(dtype) is not None
