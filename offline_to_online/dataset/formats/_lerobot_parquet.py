"""Parquet files of a LeRobotDataset: opened safely, read in small batches, every cell accounted for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from offline_to_online.dataset.formats._lerobot_info import Feature
from offline_to_online.dataset.formats._lerobot_paths import inside
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

BATCH_ROWS = 4_096
# What pyarrow says of a null among vectors of fixed length, which it does not read; the index counts from 1.
NO_VECTOR = re.compile(r"lists to be of size=(\d+) but index (\d+) had size=(\d+)")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Calls of pyarrow alone, so that whatever they raise is about the file.

    Raises:
        DataError: the file is missing, truncated, no Parquet, or damaged in this part of it.
    """
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError as error:
        limit = "the data set's metadata names it"
        raise DataError("no such file", where=str(path), limit=limit, remedy="restore the file") from error
    except (OSError, ValueError, OverflowError, MemoryError, pa.ArrowException) as error:
        raise DataError(
            f"not readable as Parquet: {str(error)[:300]}",
            where=str(path),
            limit="a whole Parquet file",
            remedy="copy or export the file again",
        ) from error


@contextmanager
def opened(root: Path, name: str) -> Iterator[tuple[Path, Any]]:
    """A Parquet file of the data set by its name below ``root``, and its path.

    Raises:
        DataError: it is missing or broken, or lies outside the data set.
    """
    import pyarrow.parquet as pq

    path = inside(root, name)
    with reading(path):
        file = pq.ParquetFile(path, memory_map=False, pre_buffer=False)
    try:
        yield path, file
    finally:
        file.close()


def batches(
    root: Path, name: str, columns: Sequence[str], *, rows: int = BATCH_ROWS, place: Callable[[int], str] | None = None
) -> Iterator[Any]:
    """The named columns of a file, as tables of at most ``rows`` rows.

    Args:
        place: words for a row of the file, from 0, in messages.

    Raises:
        DataError: the file is missing or broken, has no such column, or a vector in it is null.
    """
    import pyarrow as pa

    with opened(root, name) as (path, file):
        _require_columns(path, file, columns)
        with reading(path):
            stream = file.iter_batches(batch_size=rows, columns=list(columns))
        passed = 0
        while True:
            with reading(path), _naming_rows(place or (lambda row: f"row {row}"), path, passed):
                batch = next(stream, None)
                table = None if batch is None else pa.Table.from_batches([batch]).select(list(columns))
            if table is None:
                return
            passed += table.num_rows
            yield table


def cells(root: Path, name: str, columns: Sequence[str], *, rows: int = BATCH_ROWS) -> Iterator[dict[str, Any]]:
    """The named columns of a file of metadata, a row at a time.

    Raises:
        DataError: as ``batches``; or a text is no UTF-8.
    """
    for table in batches(root, name, columns, rows=rows):
        with reading(root / name):
            listed = table.to_pylist()
        yield from listed


def count_rows(root: Path, name: str) -> int:
    """Rows of a file, by its footer.

    Raises:
        DataError: the file is missing or broken, or lies outside the data set.
    """
    with opened(root, name) as (path, file), reading(path):
        return int(file.metadata.num_rows)


def column_types(root: Path, name: str) -> dict[str, str]:
    """Columns of a file, each with the type of its elements in Arrow's words.

    Raises:
        DataError: the file is missing or broken, or lies outside the data set.
    """
    with opened(root, name) as (path, file), reading(path):
        return {field.name: str(_element_type(field.type)) for field in file.schema_arrow}


def numbers(table: Any, feature: Feature, *, where: str) -> Array:
    """The column of a feature: (T, width), or (T,) of a scalar that is stored as one. Nothing is cast.

    Raises:
        DataError: a cell is null, has another number of entries than the feature's shape, or is no number;
            ``where`` names file and episode, the error adds the step.
    """
    import pyarrow as pa

    with reading(Path(where)):
        column = table[feature.name].combine_chunks()
        column = column.storage if isinstance(column, pa.ExtensionArray) else column
        nulls = np.flatnonzero(np.asarray(column.is_null()))
    if len(nulls):
        raise _null(feature.name, int(nulls[0]), len(nulls), where=where)
    if not _is_list(column.type):
        if feature.width != 1:
            raise _shape(feature, 1, 0, where=where)
        return _plain(column, feature, where=where)
    entries = _entries(column, feature, where=where)
    return _plain(entries, feature, where=where).reshape(len(column), feature.width)


def texts(table: Any, name: str, *, where: str) -> list[str]:
    """A column of texts.

    Raises:
        DataError: a cell is null or no text.
    """
    with reading(Path(where)):
        values: list[str] = table[name].to_pylist()
    odd = [step for step, value in enumerate(values) if not isinstance(value, str)]
    if odd:
        raise _null(name, odd[0], len(odd), where=where)
    return values


def _require_columns(path: Path, file: Any, columns: Sequence[str]) -> None:
    with reading(path):
        present = file.schema_arrow.names
    missing = [column for column in columns if column not in present]
    if missing:
        raise DataError(
            f"no column {', '.join(missing)}",
            where=str(path),
            limit=f"{len(columns)} columns that the metadata lists; here are {', '.join(present) or 'none'}",
            remedy="export the data set again, or mend its metadata",
        )


@contextmanager
def _naming_rows(place: Callable[[int], str], path: Path, passed: int) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except pa.ArrowInvalid as error:
        found = NO_VECTOR.search(str(error))
        if found is None:
            raise
        size, index, length = (int(number) for number in found.groups())
        raise DataError(
            f"a vector is null, or has {length} number(s)",
            where=f"{path}, {place(passed + index - 1)}",
            limit=f"{size} numbers in every row",
            remedy="export the data set again, or leave the episode out",
        ) from error


def _entries(column: Any, feature: Feature, *, where: str) -> Any:
    import pyarrow.compute as pc

    with reading(Path(where)):
        lengths = np.asarray(pc.list_value_length(column))
        odd = np.flatnonzero(lengths != feature.width)
        if not len(odd):
            entries = column.flatten()
            nulls = np.flatnonzero(np.asarray(entries.is_null()))
    if len(odd):
        raise _shape(feature, int(lengths[odd[0]]), int(odd[0]), where=where)
    if len(nulls):
        step, dimension = divmod(int(nulls[0]), feature.width)
        raise _null(feature.label(dimension), step, len(nulls), where=where)
    return entries


def _plain(values: Any, feature: Feature, *, where: str) -> Array:
    import pyarrow as pa

    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(
            f"{feature.name} holds {kind}",
            where=where,
            limit=f"{feature.dtype}, as the metadata says",
            remedy="export the data set again",
        )
    with reading(Path(where)):
        return np.asarray(values.to_numpy(zero_copy_only=False))


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _element_type(kind: Any) -> Any:
    import pyarrow as pa

    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif _is_list(kind):
            kind = kind.value_type
        else:
            return kind


def _null(label: str, step: int, count: int, *, where: str) -> DataError:
    return DataError(
        f"{label} is null; {count} such value(s) here",
        where=f"{where}, step {step}",
        limit="a value at every step",
        remedy="export the data set again, or leave the episode out",
    )


def _shape(feature: Feature, found: int, step: int, *, where: str) -> DataError:
    return DataError(
        f"{feature.name} has {found} number(s)",
        where=f"{where}, step {step}",
        limit=f"{feature.width}, as the shape in the metadata says",
        remedy="mend whichever is wrong",
    )
