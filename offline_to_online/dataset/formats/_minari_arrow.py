"""Minari's Arrow storage: a folder per episode, with ``part-N.arrow`` (Arrow IPC) and ``metadata.json``.

A row is a moment: T+1 of them, so that the last row of ``actions``, ``rewards``, ``terminations`` and
``truncations`` is padding with zeros. A struct in place of an array is a Dict or Tuple space. The layout is that of
``minari.dataset._storages.arrow_storage``, version 0.5.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from offline_to_online.dataset.formats._minari_column import Column, Tree, numeric, unique
from offline_to_online.dataset.formats._minari_metadata import METADATA, json_object, own_file
from offline_to_online.dataset.formats._minari_space import DEEPEST
from offline_to_online.dataset.formats._own_files import own
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

NUMBER, PART = re.compile(r"0|[1-9]\d{0,9}"), re.compile(r"part-(\d{1,9})\.arrow")
HIDDEN = (".", "_")  # of these, Arrow's own readers take no notice
PADDED = ("actions", "rewards", "terminations", "truncations")
# What pyarrow raises for a damaged file; its own errors are ArrowException.
BROKEN = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError)


@contextmanager
def arrow_storage(data: Path, root: Path) -> Iterator[ArrowStorage]:
    """The storage in the data folder ``data``."""
    yield ArrowStorage(data, root)


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Calls of pyarrow alone, so that whatever they raise is about the file.

    Raises:
        DataError: Arrow cannot read the file, or this part of it.
    """
    try:
        yield
    except BROKEN as error:
        limit, remedy = "a whole Arrow IPC file", "copy or record the file again"
        raise DataError(f"not readable as Arrow: {error}", where=where, limit=limit, remedy=remedy) from error


class ArrowStorage:
    """A folder of episodes."""

    def __init__(self, data: Path, root: Path) -> None:
        self.path, self.root = data, root

    def entries(self) -> tuple[list[int], list[str]]:
        """Numbers of the episodes, ascending, and the names of whatever else lies there."""
        names = sorted(p.name for p in self.path.iterdir() if p.name != METADATA and not p.name.startswith(HIDDEN))
        numbers = [int(name) for name in names if NUMBER.fullmatch(name)]
        return sorted(numbers), [name for name in names if not NUMBER.fullmatch(name)]

    def attributes(self, number: int) -> Mapping[str, Any]:
        """The episode's own ``metadata.json``."""
        return json_object(self.path / str(number) / METADATA, self.root)

    @contextmanager
    def episode(self, number: int) -> Iterator[Tree]:
        """The parts of one episode, mapped rather than read: pictures that nobody asks for stay on the disk."""
        where = f"{self.path}, episode {number}"
        batches: list[Any] = []
        maps = [_mapped(path, where) for path in self._parts(number, where)]
        try:
            for file in maps:
                with reading(where):
                    batches.extend(_batches(file))
            yield ArrowTree(batches, where)
        finally:
            batches.clear()
            for file in maps:
                file.close()

    def _parts(self, number: int, where: str) -> list[Path]:
        folder = self.path / str(number)
        if not own(folder, self.root).is_dir():
            limit = "a folder in the data set itself"
            raise DataError("the episode is no such folder", where=where, limit=limit, remedy="copy the data in")
        names = sorted(p.name for p in folder.iterdir() if p.name != METADATA and not p.name.startswith(HIDDEN))
        parts = {int(m[1]): m[0] for m in map(PART.fullmatch, names) if m}
        missing = sorted(set(range(max(parts, default=0) + 1)) - set(parts))
        if missing or len(parts) != len(names):
            what = f"part-{missing[0]}.arrow is missing" if missing else "a file is no part of an episode"
            limit = f"there is {', '.join(names) or 'nothing'}"
            raise DataError(what, where=where, limit=limit, remedy="copy the data set again")
        return [own_file(folder / parts[index], self.root) for index in sorted(parts)]


class ArrowTree:
    """The record batches of one episode."""

    def __init__(self, batches: list[Any], where: str) -> None:
        self.where, self._batches = where, batches
        self._places: dict[str, tuple[int, ...]] = {}
        schema = _one_schema(batches, where)
        fields: list[tuple[Any, tuple[int, ...]]] = [(schema.field(i), (i,)) for i in range(len(schema))]
        with reading(where):
            self.columns = unique(self._columns(fields, ""), where=where)
        self._moments = sum(int(batch.num_rows) for batch in batches)

    def rows(self, name: str) -> int:
        """Rows of a column, without the padding."""
        return self._moments - (name.split("/")[0] in PADDED)

    def values(self, name: str) -> Array:
        """A column as numpy holds it, out of the mapped file, without the padding."""
        column, place = self.columns[name], f"{self.where}, {name}"
        pieces, start = [], 0
        for batch in self._batches:
            with reading(place):
                leaf = _descended(batch, self._places[name], place, start)
                pieces.append(_numbers(leaf, column, place, start))
            start += batch.num_rows
        values = np.concatenate(pieces)
        if name.split("/")[0] not in PADDED:
            return values
        if np.any(values[-1:]):
            limit = "zeros: there is no step after the last observation"
            raise DataError(
                "the padding after the last step is not empty", where=place, limit=limit, remedy="copy it again"
            )
        return values[:-1]

    def _columns(self, fields: list[tuple[Any, tuple[int, ...]]], prefix: str) -> Iterator[tuple[str, Column]]:
        for field, place in fields:
            name = f"{prefix}{field.name}"
            if pa.types.is_struct(field.type) and len(place) <= DEEPEST:
                inner = [(field.type.field(i), (*place, i)) for i in range(field.type.num_fields)]
                yield from self._columns(inner, f"{name}/")
            else:
                self._places[name] = place
                yield name, _column(field)


def _mapped(path: Path, where: str) -> Any:
    with reading(f"{where}, {path.name}"):
        return pa.memory_map(str(path))


def _batches(file: Any) -> Iterator[Any]:
    reader = pa.ipc.open_file(file)
    for index in range(reader.num_record_batches):
        batch = reader.get_batch(index)
        # Lengths and offsets as the header claims them, held against the bytes that are there.
        batch.validate(full=True)
        yield batch


def _one_schema(batches: list[Any], where: str) -> Any:
    if not batches or any(not batch.schema.equals(batches[0].schema) for batch in batches):
        what = "its parts hold different columns" if batches else "no rows are stored"
        raise DataError(what, where=where, limit="one table", remedy="copy the data set again")
    return batches[0].schema


def _column(field: Any) -> Column:
    kind, types = field.type, pa.types
    if _is_number(kind):
        return numeric(kind.to_pandas_dtype(), ())
    if types.is_fixed_size_list(kind) and _is_number(kind.value_type):
        return numeric(kind.value_type.to_pandas_dtype(), _shape(field))
    if types.is_string(kind) or types.is_large_string(kind):
        return Column(kind="text", dtype="text")
    return Column(kind="image" if types.is_binary(kind) or types.is_large_binary(kind) else "other", dtype=str(kind))


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _shape(field: Any) -> tuple[int, ...]:
    """Of one row: as the field's own metadata says, where it fits the list."""
    size = int(field.type.list_size)
    said = (field.metadata or {}).get(b"shape")
    if said is None or not re.fullmatch(rb"(\d{1,9}(,\d{1,9})*)?", said):
        return (size,)
    shape = tuple(int(side) for side in said.split(b",") if side)
    return shape if math.prod(shape) == size else (size,)


def _descended(batch: Any, place: tuple[int, ...], where: str, start: int) -> Any:
    array = batch.column(place[0])
    for index in place[1:]:
        _require_filled(array, where, start)
        array = array.field(index)
    _require_filled(array, where, start)
    return array


def _numbers(array: Any, column: Column, where: str, start: int) -> Array:
    rows = len(array)
    if pa.types.is_fixed_size_list(array.type):
        array = array.flatten()
        _require_filled(array, where, start, width=column.width)
    # A copy: the values outlive the mapped file.
    return np.array(array.to_numpy(zero_copy_only=False)).reshape(rows, *column.shape)


def _require_filled(array: Any, where: str, start: int, *, width: int = 1) -> None:
    """Refuse an entry that is missing: Arrow's own conversions skip it, or make a number of it."""
    if array.null_count:
        first = int(np.argmax(array.is_null().to_numpy(zero_copy_only=False))) // width
        what = f"{array.null_count} value(s) are missing"
        limit, remedy = "a number in every row", "remove the episode or mend the recording"
        raise DataError(what, where=f"{where}, step {start + first}", limit=limit, remedy=remedy)
