"""Arrow tables of the store: columns in, arrays out, and what is broken said in one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError


def vectors(rows: Array) -> pa.FixedSizeListArray:
    """Rows (N, W) as float32 lists of fixed size."""
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def column(values: Array) -> pa.Array:
    """One entry a step: numbers, booleans, texts, or rows of fixed width."""
    if values.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    return pa.array(values.tolist()) if values.dtype.kind in "US" else pa.array(values)


def read_table(path: Path) -> pa.Table:
    """A whole Parquet file.

    Raises:
        DataError: it is missing or broken.
    """
    try:
        return pq.read_table(path, memory_map=False)
    except FileNotFoundError as error:
        raise DataError("no such file", where=str(path), remedy="run the stage that writes it") from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"not readable as Parquet: {error}", where=str(path), remedy="write it anew") from error


def require_columns(table: pa.Table, wanted: Sequence[str], *, where: str) -> pa.Table:
    """The table, if it has every wanted column.

    Raises:
        DataError: with those that are missing.
    """
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        limit = f"the columns {', '.join(wanted)}"
        raise DataError(f"no column {', '.join(missing)}", where=where, limit=limit, remedy="write it anew")
    return table


def array_of(column: pa.ChunkedArray) -> Array:
    """A column as numpy has it; lists of fixed size as (N, W)."""
    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(column.type):
        return np.asarray(array.flatten().to_numpy(zero_copy_only=False)).reshape(len(column), column.type.list_size)
    values = array.to_pylist() if pa.types.is_string(column.type) else array.to_numpy(zero_copy_only=False)
    return np.array(values)
