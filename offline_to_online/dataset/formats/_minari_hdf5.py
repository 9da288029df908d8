"""Minari's HDF5 storage: one ``main_data.hdf5`` with a group ``episode_N`` for each episode.

A group holds ``observations`` (T+1 rows), ``actions``, ``rewards``, ``terminations``, ``truncations`` (T rows) and
maybe ``infos``; a group in place of an array is a Dict space, and ``_index_N`` within it a Tuple's N-th part. The
layout is that of ``minari.dataset._storages.hdf5_storage``, versions 0.4 to 0.5.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from offline_to_online.dataset.formats._hdf5 import opened, own, reading, require_written, values_of
from offline_to_online.dataset.formats._minari_column import Column, Tree, numeric, unique
from offline_to_online.dataset.formats._minari_metadata import own_file
from offline_to_online.dataset.formats._minari_space import DEEPEST
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

MAIN = "main_data.hdf5"
EPISODE = re.compile(r"episode_(0|[1-9]\d{0,9})")
PART_OF_TUPLE = re.compile(r"_index_(\d+)")


@contextmanager
def hdf5_storage(data: Path, root: Path) -> Iterator[Hdf5Storage]:
    """The storage in the data folder ``data``, open for as long as the block lasts.

    Raises:
        DataError: the file is missing, a link to elsewhere, truncated or no HDF5.
    """
    path = own_file(data / MAIN, root)
    with opened(path) as file:
        yield Hdf5Storage(file, path)


class Hdf5Storage:
    """An open ``main_data.hdf5``."""

    def __init__(self, file: Any, path: Path) -> None:
        self.file, self.path = file, path

    def entries(self) -> tuple[list[int], list[str]]:
        """Numbers of the episodes, ascending, and the names of all other groups."""
        with reading(self.path):
            names = [str(name) for name in self.file]
        matches = {name: EPISODE.fullmatch(name) for name in names}
        return sorted(int(m[1]) for m in matches.values() if m), [name for name, m in matches.items() if not m]

    def attributes(self, number: int) -> Mapping[str, Any]:
        """The attributes of an episode's group."""
        group = self._group(number)
        with reading(self.path):
            return dict(group.attrs)

    @contextmanager
    def episode(self, number: int) -> Iterator[Tree]:
        """The group of one episode."""
        yield Hdf5Tree(self._group(number), self.path, f"{self.path}, episode {number}")

    def _group(self, number: int) -> Any:
        where = f"{self.path}, episode {number}"
        node = own(self.file, f"episode_{number}", self.path, where=where)
        if not isinstance(node, h5py.Group):
            raise DataError("the episode is no group", where=where, limit="Minari's layout", remedy="mend the file")
        return node


class Hdf5Tree:
    """One episode's group, its data sets looked up and checked once."""

    def __init__(self, group: Any, path: Path, where: str) -> None:
        self.path, self.where = path, where
        self._found: dict[str, Any] = {}
        self._seen: set[int] = set()
        self.columns = unique(self._columns(group, ""), where=where)

    def rows(self, name: str) -> int:
        """Rows of a data set."""
        return int(self._found[name].shape[0])

    def values(self, name: str) -> Array:
        """All of a data set, once it is known to be there."""
        data, place = self._found[name], f"{self.where}, {name}"
        require_written(data, self.path, where=place)
        values = values_of(data, (), self.path)
        _require_flags(values, place)
        return values

    def _columns(self, group: Any, prefix: str) -> Iterator[tuple[str, Column]]:
        self._require_tree(group, prefix)
        with reading(self.path):
            names = [str(name) for name in group]
        for name in names:
            part = PART_OF_TUPLE.fullmatch(name)
            place = f"{prefix}{part[1] if part else name}"
            node = own(group, name, self.path, where=f"{self.where}, {place}")
            if isinstance(node, h5py.Group):
                yield from self._columns(node, f"{place}/")
            elif isinstance(node, h5py.Dataset):
                self._found[place] = node
                yield place, _column(node)

    def _require_tree(self, group: Any, prefix: str) -> None:
        """Refuse groups that hold each other: walking them would never end."""
        with reading(self.path):
            address = int(h5py.h5o.get_info(group.id).addr)
        if address in self._seen or prefix.count("/") > DEEPEST:
            limit = f"a tree, at most {DEEPEST} deep"
            raise DataError(f"the groups at {prefix} are no tree", where=self.where, limit=limit, remedy="mend it")
        self._seen.add(address)


def _require_flags(values: Array, place: str) -> None:
    """Refuse a bool that is neither: HDF5 keeps it as a byte, and numpy believes it."""
    if values.dtype == np.bool_ and values.size and int(values.view(np.uint8).max()) > 1:
        step = int(np.argmax(values.view(np.uint8).reshape(len(values), -1).max(axis=1) > 1))
        what = f"{values.view(np.uint8).max()} is neither true nor false"
        raise DataError(what, where=f"{place}, step {step}", limit="0 or 1", remedy="copy or record the file again")


def _column(data: Any) -> Column:
    dtype, shape = data.dtype, data.shape
    if shape is not None and dtype.kind in "fiub":
        return numeric(dtype, shape[1:]) if shape else Column(kind="scalar", dtype=dtype.name)
    if h5py.check_string_dtype(dtype) is not None or dtype.kind == "S":
        return Column(kind="text", dtype="text")
    # Minari packs pictures of differing length as lists of bytes.
    return Column(kind="image" if h5py.check_vlen_dtype(dtype) == np.uint8 else "other", dtype=str(dtype))
