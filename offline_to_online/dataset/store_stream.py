"""The store read a block at a time: memory does not grow with the episodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from offline_to_online.dataset import store
from offline_to_online.dataset.episode import Episode
from offline_to_online.errors import DataError


def stream_episodes(folder: Path) -> Iterator[Episode]:
    """The episodes of a folder in their order, each verified against its identity.

    Raises:
        DataError: a file is missing, broken, or an episode is not the one that was written.
    """
    rows, where = store.episode_rows(folder), str(folder / store.TRANSITIONS)
    if not rows:
        raise DataError("no episodes", where=str(folder / store.EPISODES), limit="at least 1", remedy="write it anew")
    held = _Held(_batches(folder / store.TRANSITIONS))
    for row in rows:
        if not isinstance(row["length"], int) or row["length"] < 1:
            limit = "a whole number of at least 1"
            raise DataError(f"the length is {row['length']}", where=f"{where}, episode {row['index']}", limit=limit)
        table = held.take(row["length"])
        if table is None:
            raise _miscounted(rows, where)
        try:
            episode = store.episode_from(row, table, where=f"{where}, episode {row['index']}")
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise DataError(f"columns of another kind: {error}", where=where, remedy="write it anew") from error
        yield episode
    if held.take(1) is not None:
        raise _miscounted(rows, where)


def is_episode(path: Path) -> bool:
    """Whether ``store.write_episode`` wrote this file."""
    try:
        return b"episode" in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


class _Held:
    """Rows that were read and not taken yet."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._table: pa.Table | None = None

    def take(self, rows: int) -> pa.Table | None:
        """The next rows; None where there are fewer left."""
        while self._table is None or self._table.num_rows < rows:
            batch = next(self._batches, None)
            if batch is None:
                return None
            new = pa.Table.from_batches([batch])
            self._table = new if self._table is None else pa.concat_tables([self._table, new])
        taken, self._table = self._table.slice(0, rows), self._table.slice(rows)
        return taken


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=store.BLOCK_STEPS)
    except FileNotFoundError as error:
        raise DataError("no such file", where=str(path), remedy="run the stage that writes it") from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"not readable as Parquet: {error}", where=str(path), remedy="write it anew") from error


def _miscounted(rows: list[dict[str, Any]], where: str) -> DataError:
    limit = f"{store.EPISODES} counts {sum(int(row['length']) for row in rows)}"
    return DataError("the steps are not as many as counted", where=where, limit=limit, remedy="write both anew")
