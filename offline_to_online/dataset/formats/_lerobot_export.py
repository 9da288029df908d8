"""Episodes of ours as LeRobotDataset v3.0, streamed into a folder that appears whole or not at all."""

from __future__ import annotations

import math
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import write_json
from offline_to_online.dataset.formats._lerobot_columns import STEPS, columns_of, require, table_of
from offline_to_online.dataset.formats._lerobot_contents import PROVENANCE
from offline_to_online.dataset.formats._lerobot_episodes import EPISODES_FILES, TASKS_FILE
from offline_to_online.dataset.formats._lerobot_info import INFO
from offline_to_online.dataset.formats._lerobot_paths import fill
from offline_to_online.dataset.formats._lerobot_stats import WHOLE_SET
from offline_to_online.dataset.formats._lerobot_summary import Running, Summary, summary
from offline_to_online.dataset.spec import VectorSchema
from offline_to_online.errors import DataError

DATA_FILES = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
FILE_MB, VIDEO_MB, CHUNK_FILES = 100, 200, 1000  # lerobot's defaults; a file is begun anew beyond the first
EPISODES_A_GROUP = 64


def write_folder(folder: Path, episodes: Iterable[Episode], about: Mapping[str, Any]) -> None:
    """Write a data set; see ``lerobot.export``.

    Raises:
        DataError: as there.
    """
    with _appearing(folder) as partial, _Writer(partial, about) as writer:
        for episode in episodes:
            writer.append(episode)
        writer.finish()


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A temporary sibling to fill; it becomes ``folder`` when the block ends well, else it is removed."""
    if folder.exists() or folder.is_symlink():
        limit = "an export never overwrites"
        raise DataError("this is there already", where=str(folder), limit=limit, remedy="name a folder that is not")
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        os.rename(partial, folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot write: {reason}", where=str(folder), remedy="check the place and its space") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class _Shards:
    """Parquet files of one kind, numbered, each begun anew when the one before it is full."""

    def __init__(self, root: Path, template: str) -> None:
        self._root, self._template = root, template
        self._number, self._bytes = -1, 0
        self._writer: Any = None

    def place(self, rows: Any) -> tuple[int, int]:
        """Chunk and file that these rows go to; the file is begun where they no longer fit into the last one."""
        if self._writer is None or self._bytes + rows.nbytes > FILE_MB * 2**20:
            self._begin(rows.schema)
        self._bytes += rows.nbytes
        return divmod(self._number, CHUNK_FILES)

    def write(self, rows: Any) -> None:
        """Append rows, as one row group, to the file that ``place`` chose."""
        self._writer.write_table(rows)

    def close(self) -> None:
        """Finish the file that is open. Safe to call at any time."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _begin(self, schema: Any) -> None:
        import pyarrow.parquet as pq

        self.close()
        self._number, self._bytes = self._number + 1, 0
        chunk, file = divmod(self._number, CHUNK_FILES)
        path = self._root / fill(self._template, chunk_index=chunk, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=True)


class _Writer:
    """The files of one data set; one episode of data and a block of metadata are in memory at a time."""

    def __init__(self, root: Path, about: Mapping[str, Any]) -> None:
        self._root, self._about = root, about
        self._data, self._metadata = _Shards(root, DATA_FILES), _Shards(root, EPISODES_FILES)
        self._widths = {"observation.state": about["observation"].size, "action": about["action"].size}
        self._widths["next.observation.state"] = about["observation"].size
        self._rows: list[dict[str, Any]] = []
        self._running: dict[str, Running] = {}
        self._operators: dict[str, None] = {}
        self._episodes = self._frames = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._data.close()
        self._metadata.close()

    def append(self, episode: Episode) -> None:
        """Write the rows of an episode, and keep its row of metadata."""
        columns = columns_of(episode, self._episodes, self._frames, float(self._about["control_rate_hz"]))
        require(episode, columns, self._widths, where=f"episode {self._episodes}")
        table = table_of(columns)
        chunk, file = self._data.place(table)
        self._data.write(table)
        summaries = {name: summary(values) for name, values in columns.items() if values.dtype.kind != "U"}
        for name, entry in summaries.items():
            self._running.setdefault(name, Running()).add(entry)
        self._rows.append(self._episode_row(len(episode), chunk, file, summaries))
        self._operators[episode.operator] = None
        self._episodes += 1
        self._frames += len(episode)
        if len(self._rows) == EPISODES_A_GROUP:
            self._flush()

    def finish(self) -> None:
        """Write what is held, and the metadata of the whole.

        Raises:
            DataError: there were no episodes.
        """
        if not self._episodes:
            raise DataError("no episodes to write", limit="at least 1", remedy="check the data")
        self._flush()
        _write_tasks(self._root / TASKS_FILE, self._task)
        write_json(self._root / WHOLE_SET, {name: entry.to_json() for name, entry in self._running.items()})
        write_json(self._root / INFO, self._info())
        write_json(self._root / PROVENANCE, self._provenance())

    @property
    def _task(self) -> str:
        return str(self._about["name"])

    def _episode_row(self, length: int, chunk: int, file: int, summaries: Mapping[str, Summary]) -> dict[str, Any]:
        stats = {f"stats/{name}/{kind}": v for name, entry in summaries.items() for kind, v in entry.to_json().items()}
        return {
            "episode_index": self._episodes,
            "tasks": [self._task],
            "length": length,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": self._frames,
            "dataset_to_index": self._frames + length,
            **stats,
        }

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        table = pa.Table.from_pylist(self._rows)
        placed = pa.array(np.zeros(len(self._rows), dtype=np.int64))
        for name in ("meta/episodes/chunk_index", "meta/episodes/file_index"):
            table = table.append_column(name, placed)
        for offset, number in enumerate(self._metadata.place(table)):
            at = table.num_columns - 2 + offset
            values = pa.array(np.full(len(self._rows), number, dtype=np.int64))
            table = table.set_column(at, table.column_names[at], values)
        self._metadata.write(table)
        self._rows = []

    def _info(self) -> dict[str, Any]:
        rate = float(self._about["control_rate_hz"])
        return {
            "codebase_version": "v3.0",
            "robot_type": self._about["robot"] or self._about["robot_body"] or None,
            "total_episodes": self._episodes,
            "total_frames": self._frames,
            "total_tasks": 1,
            "chunks_size": CHUNK_FILES,
            "data_files_size_in_mb": FILE_MB,
            "video_files_size_in_mb": VIDEO_MB,
            "fps": int(rate) if rate.is_integer() else rate,
            "splits": {"train": f"0:{self._episodes}"},
            "data_path": DATA_FILES,
            "video_path": None,
            "features": self._features(),
        }

    def _features(self) -> dict[str, Any]:
        names = {"action": self._about["action"].names, "observation.state": self._about["observation"].names}
        names["next.observation.state"] = names["observation.state"]
        vectors = {
            name: {"dtype": "float32", "shape": [width], "names": list(names[name])}
            for name, width in self._widths.items()
        }
        return {**vectors, **{name: {"dtype": kind, "shape": [1], "names": None} for name, kind in STEPS.items()}}

    def _provenance(self) -> dict[str, Any]:
        schemas = {"observation.state": self._about["observation"], "action": self._about["action"]}
        return {
            **{key: str(self._about[key]) for key in ("name", "licence", "source", "robot", "robot_body")},
            "operators": list(self._operators),
            "bounds": {name: _bounds(schema) for name, schema in schemas.items()},
        }


def _write_tasks(path: Path, task: str) -> None:
    """lerobot looks tasks up by the index of this table: their texts."""
    import pandas as pd

    pd.DataFrame({"task_index": [0]}, index=[task]).to_parquet(path)


def _bounds(schema: VectorSchema) -> list[dict[str, Any]]:
    rows = schema.to_json()
    return [{**row, **{key: row[key] if math.isfinite(row[key]) else None for key in ("low", "high")}} for row in rows]
