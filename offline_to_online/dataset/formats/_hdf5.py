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
# No filter that a stranger's file may use packs numbers tighter; beyond, a header claims what is not there.
LARGEST_RATIO, ALWAYS_BYTES = 16_384, 64 * 2**20
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


def own(group: Any, name: str, path: Path, *, where: str | None = None) -> Any:
    """What lies in a group by that name. Only what lies in this very file is followed.

    Args:
        where: the place as a person knows it (file and episode), where the name in the file says less.

    Raises:
        DataError: it is a link, or lies in another file; or the file is damaged there.
    """
    with reading(path):
        link = group.get(name, getlink=True)
        node = group[name] if isinstance(link, h5py.HardLink) else None
        place = "this" if where else f"{group.name.rstrip('/')}/{name}"
        away = node is None or (isinstance(node, h5py.Dataset) and (node.external or node.is_virtual))
        if isinstance(node, h5py.Dataset) and not away:
            _ = node.dtype, node.shape  # a type or a shape that is damaged shows itself here, not where it is used
    if away:
        raise DataError(
            f"{place} is {'a link' if node is None else 'stored in another file'}",
            where=where or str(path),
            limit="the data lies in the file itself, so that its hash covers it",
            remedy="copy the data into the file",
        )
    return node


def optional(file: Any, name: str, path: Path, *, unset: str | None = None) -> Any:
    """The data set of that name, looked up along its groups; None where there is none.

    Args:
        unset: as for ``require_written``.

    Raises:
        DataError: as ``own`` and ``require_written``; or it holds anything but numbers (texts for an operator).
    """
    node = file
    for part in name.split("/"):
        with reading(path):
            there = isinstance(node, h5py.Group) and node.get(part, getlink=True) is not None
        if not there:
            return None
        node = own(node, part, path)
    if not isinstance(node, h5py.Dataset):
        return None
    if node.dtype.kind not in "fiub" and not (name.endswith("/operator") and _is_text(node.dtype)):
        raise DataError(
            f"/{name} holds {node.dtype}",
            where=str(path),
            limit="numbers (texts for operator)",
            remedy="store plain numbers",
        )
    if node.shape is not None:
        require_written(node, path, where=str(path), unset=unset)
    return node


def require_written(data: Any, path: Path, *, where: str, unset: str | None = None) -> None:
    """Refuse what the file announces and does not hold: HDF5 would make room for it, and fill it with zeros.

    Args:
        unset: the remedy for booleans or whole numbers that were created to read as 0 and of which nothing was
            written. Whoever made such flags may have meant the zeros; nobody can tell, so they are refused as well.

    Raises:
        DataError: some of the data set was never written, or it claims more than any filter packs into so few bytes.
    """
    with reading(path):
        missing = _missing(data, path)
        zeros = (
            unset is not None and data.dtype.kind in "biu" and data.id.get_storage_size() == 0 and not data.fillvalue
        )
    if missing:
        what, limit = f"{data.name} was never written in whole: {missing}", f"all of its shape {data.shape}"
        raise DataError(what, where=where, limit=limit, remedy=(zeros and unset) or "copy or record the file again")


def _missing(data: Any, path: Path) -> str:
    """What the file lacks of a data set, in words; empty where it lacks nothing."""
    stored, claimed = data.id.get_storage_size(), data.size * data.id.get_type().get_size()
    texts = data.dtype.kind == "O"  # of any length: in the file a reference to each is larger than in memory
    if data.chunks is None and (stored < claimed if texts else stored != claimed):
        return f"{stored} of its {claimed} bytes are stored"
    if data.chunks is not None:
        wanted = math.prod(-(-n // chunk) for n, chunk in zip(data.shape, data.chunks, strict=True))
        if (found := data.id.get_num_chunks()) != wanted:
            return f"{found} of its {wanted} chunks are stored"
    if claimed > max(ALWAYS_BYTES, LARGEST_RATIO * stored):
        return f"{claimed} bytes are claimed, {stored} are stored"
    size = path.stat().st_size
    return f"{stored} bytes are claimed, the file has {size}" if stored > size else ""


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


def _is_text(dtype: Any) -> bool:
    return dtype.kind == "S" or h5py.check_string_dtype(dtype) is not None
