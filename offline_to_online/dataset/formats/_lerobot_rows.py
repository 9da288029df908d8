"""The rows of a LeRobotDataset, an episode at a time, each row held against its place."""

from __future__ import annotations

import bisect
import functools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from offline_to_online.dataset.formats._lerobot_episodes import Span, data_files
from offline_to_online.dataset.formats._lerobot_info import Info
from offline_to_online.dataset.formats._lerobot_parquet import batches, numbers, reading
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

COUNTERS = ("episode_index", "frame_index", "index")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of one episode: a table with the columns that were asked for, and where they lie, for messages."""

    span: Span
    table: Any
    where: str


def episodes(info: Info, spans: Sequence[Span], columns: Sequence[str]) -> Iterator[Rows]:
    """Every episode's rows in their order.

    Raises:
        DataError: a file is missing or broken, lacks a column, or holds more or fewer rows than the metadata says;
            a row's ``episode_index``, ``frame_index`` or ``index`` is not what its place says, so that a frame
            was lost, repeated or moved.
    """
    stream = _Stream(info=info, files=deque(data_files(info, spans)), spans=spans, columns=columns)
    for span in spans:
        if not info.consolidated:
            stream = _Stream(info=info, files=deque([span.file]), spans=[span], columns=columns, passed=span.start)
        # A file of one episode may hold too many rows, and is asked for one more than it should have.
        table = stream.take(span.length + (not info.consolidated))
        where = f"{info.root / stream.name}, episode {span.index}"
        _require_places(info, span, table, where=where)
        _require_rows(span, table.num_rows, where=where)
        yield Rows(span=span, table=table, where=where)
    if info.consolidated:
        _require_end(info, spans, stream)
    if (counted := spans[-1].start + spans[-1].length) != info.frames:
        raise DataError(
            f"the episodes have {counted} frames",
            where=str(info.root),
            limit=f"meta/info.json says total_frames is {info.frames}",
            remedy="restore the metadata",
        )


@dataclass(kw_only=True)
class _Stream:
    """Rows of files one after the other; a batch and what an episode needs are in memory, no more."""

    info: Info
    files: deque[str]
    spans: Sequence[Span]
    columns: Sequence[str]
    name: str = ""  # of the file that the last row taken lies in
    passed: int = 0  # rows of the whole data set before the next batch
    _batches: Iterator[Any] | None = None
    _held: deque[Any] = field(default_factory=deque)

    def take(self, rows: int) -> Any:
        """The next rows, or as many as there are."""
        import pyarrow as pa

        parts: list[Any] = []
        while rows > 0 and self._fill():
            table = self._held.popleft()
            if table.num_rows > rows:
                self._held.appendleft(table.slice(rows))
                table = table.slice(0, rows)
            parts.append(table)
            rows -= table.num_rows
        with reading(self.info.root / self.name):
            return pa.concat_tables(parts) if parts else pa.table({name: [] for name in self.columns})

    def _fill(self) -> bool:
        """Hold at least one row, if there is another."""
        while not self._held:
            if self._batches is None:
                if not self.files:
                    return False
                self.name = self.files.popleft()
                place = functools.partial(self._place, self.passed)
                self._batches = batches(self.info.root, self.name, self.columns, place=place)
            batch = next(self._batches, None)
            if batch is None:
                self._batches = None
            elif batch.num_rows:
                self.passed += batch.num_rows
                self._held.append(batch)
        return True

    def _place(self, before: int, row: int) -> str:
        span = self.spans[bisect.bisect_right(self.spans, before + row, key=lambda span: span.start) - 1]
        return f"episode {span.index}, step {before + row - span.start}"


def _require_places(info: Info, span: Span, table: Any, *, where: str) -> None:
    steps = np.arange(table.num_rows)
    if not len(steps):
        return
    expected = {"episode_index": np.full(len(steps), span.index), "frame_index": steps, "index": steps + span.start}
    found = {name: numbers(table, info.features[name], where=where).reshape(-1) for name in COUNTERS}
    odd = {name: np.flatnonzero(found[name] != expected[name]) for name in COUNTERS}
    first = min((int(rows[0]) for rows in odd.values() if len(rows)), default=None)
    if first is None or (first >= span.length and not len(odd["episode_index"])):
        return  # a row too many that counts on is told by its number
    name = next(name for name in COUNTERS if first in odd[name])
    raise DataError(
        f"{name} is {found[name][first]}",
        where=f"{where}, step {first}",
        limit=f"{expected[name][first]} by the row's place; {len(odd[name])} row(s) of the episode are off",
        remedy="a frame was lost, repeated or moved: restore the file, or export the data set again",
    )


def _require_rows(span: Span, rows: int, *, where: str) -> None:
    if rows != span.length:
        found = f"more than {span.length}" if rows > span.length else str(rows)
        raise DataError(
            f"the data holds {found} rows",
            where=where,
            limit=f"the metadata says the episode has {span.length} frames",
            remedy="restore the file, or the metadata",
        )


def _require_end(info: Info, spans: Sequence[Span], stream: _Stream) -> None:
    if stream.take(1).num_rows:
        limit = f"the metadata counts {spans[-1].start + spans[-1].length} in {len(spans)} episodes"
        raise DataError(
            "rows follow the last episode",
            where=str(info.root / stream.name),
            limit=limit,
            remedy="restore the metadata, so that no episode is lost",
        )


def require_tasks(info: Info, rows: Rows, tasks: dict[int, str] | None) -> None:
    """Refuse a row whose ``task_index`` no task has.

    Raises:
        DataError: with the first such step.
    """
    if not tasks or "task_index" not in info.features:
        return
    found: Array = numbers(rows.table, info.features["task_index"], where=rows.where).reshape(-1)
    odd = np.flatnonzero(~np.isin(found, list(tasks)))
    if len(odd):
        raise DataError(
            f"task_index is {found[odd[0]]}",
            where=f"{rows.where}, step {odd[0]}",
            limit=f"the metadata lists {len(tasks)} task(s), from {min(tasks)} to {max(tasks)}",
            remedy="restore the file, or the list of tasks",
        )
