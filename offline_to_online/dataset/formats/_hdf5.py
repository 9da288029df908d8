"""HDF5 files that a stranger made: opened safely, with nothing in them followed elsewhere or unpickled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from offline_to_online.dataset.files import require_readable
from offline_to_online.errors import DataError

CACHE_BYTES = 64 * 2**20  # an episode is a slice of several compressed chunks: keep those that the next one shares


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An HDF5 file, open for reading.

    Raises:
        DataError: the file is missing, a pickle, truncated or no HDF5.
    """
    require_readable(path)
    try:
        file = h5py.File(path, "r", rdcc_nbytes=CACHE_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
    with file:
        yield file


def unreadable(path: Path, error: OSError) -> DataError:
    """The error for a file, or a part of one, that HDF5 cannot read."""
    return DataError(
        f"not readable as HDF5: {error}",
        where=str(path),
        limit="a whole HDF5 file",
        remedy="copy or record the file again",
    )


def optional(file: Any, name: str, path: Path) -> Any:
    """The data set of that name; None where there is none. Only what lies in this very file is followed.

    Raises:
        DataError: it is a link, lies in another file, or holds anything but numbers (texts for an operator).
    """
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
