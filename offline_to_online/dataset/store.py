"""Episodes on disk: Parquet, written whole, the same bytes for the same content, read back by identity.

A folder holds ``transitions.parquet`` (a row per step) and ``episodes.parquet`` (a row per episode);
``split.json`` beside them says which episode is for what. An online episode is one file of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from offline_to_online.dataset._tables import array_of, column, read_table, require_columns, vectors
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import file_sha256, folder_sha256, read_json, replacing, write_json
from offline_to_online.dataset.spec import Array
from offline_to_online.dataset.split import load_split
from offline_to_online.errors import DataError, SplitError

__all__ = [
    "EpisodeWriter",
    "file_sha256",
    "folder_sha256",
    "load_episodes",
    "read_episode",
    "read_json",
    "write_episode",
    "write_episodes",
    "write_json",
    "writing",
]

TRANSITIONS, EPISODES, SPLIT = "transitions.parquet", "episodes.parquet", "split.json"
STEP_COLUMNS = ("observation", "action", "reward", "cost", "intervened")
EPISODE_FACTS = ("terminated", "truncated", "operator", "seed", "success", "score")
EPISODE_COLUMNS = ("index", "identity", "length", *EPISODE_FACTS, "final_observation")
BLOCK_STEPS = 16_384
NO_EXTRA: Mapping[str, Array] = MappingProxyType({})


class EpisodeWriter:
    """Streams episodes into two files; one block of steps is held in memory at a time. See ``writing``."""

    def __init__(self, transitions: Path) -> None:
        self._transitions = transitions
        self._steps: list[pa.Table] = []
        self._rows: list[dict[str, Any]] = []
        self._final: list[Array] = []
        self._held = 0
        self._parquet: pq.ParquetWriter | None = None

    def append(self, episode: Episode) -> None:
        """Add one episode; its index is the number of episodes before it."""
        table = _step_table(episode)
        index = np.full(len(episode), len(self._rows), dtype=np.int32)
        self._steps.append(table.add_column(0, "episode", pa.array(index)))
        self._rows.append(_summary(episode))
        # A copy: a view of its last row would keep the whole episode.
        self._final.append(np.array(episode.observations[-1], dtype=np.float32))
        self._held += len(episode)
        if self._held >= BLOCK_STEPS:
            self._flush()

    def finish(self, episodes: Path) -> None:
        """Write what is held, and the table of episodes.

        Raises:
            DataError: there are no episodes.
        """
        if not self._rows:
            raise DataError(
                "no episodes to write", where=str(episodes.parent), limit="at least 1", remedy="check the data"
            )
        self._flush()
        columns = {name: [row[name] for row in self._rows] for name in self._rows[0]}
        table = pa.table(
            {
                "index": pa.array(np.arange(len(self._rows), dtype=np.int32)),
                **{name: pa.array(values) for name, values in columns.items()},
                "final_observation": vectors(np.stack(self._final)),
            }
        )
        pq.write_table(table, episodes, compression="zstd")

    def close(self) -> None:
        """Close the file of transitions. Safe to call at any time."""
        if self._parquet is not None:
            self._parquet.close()

    def _flush(self) -> None:
        if not self._steps:
            return
        table = pa.concat_tables(self._steps).combine_chunks()
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self._transitions, table.schema, compression="zstd")
        self._parquet.write_table(table)
        self._steps, self._held = [], 0


@contextmanager
def writing(folder: Path) -> Iterator[EpisodeWriter]:
    """Write ``transitions.parquet`` and ``episodes.parquet`` of a folder; they appear when the block ends well.

    Raises:
        DataError: no episode was appended.
    """
    with replacing(folder / EPISODES) as episodes, replacing(folder / TRANSITIONS) as transitions:
        writer = EpisodeWriter(transitions)
        try:
            yield writer
            writer.finish(episodes)
        finally:
            writer.close()


def write_episodes(folder: Path, episodes: Sequence[Episode]) -> None:
    """Write ``transitions.parquet`` and ``episodes.parquet`` into a folder.

    Raises:
        DataError: there are no episodes.
    """
    with writing(folder) as writer:
        for episode in episodes:
            writer.append(episode)


def episode_rows(folder: Path) -> list[dict[str, Any]]:
    """The table of a folder's episodes, a mapping each.

    Raises:
        DataError: it is missing, broken, or lacks a column.
    """
    table = require_columns(read_table(folder / EPISODES), EPISODE_COLUMNS, where=str(folder / EPISODES))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def episode_from(row: Mapping[str, Any], steps: pa.Table, *, where: str) -> Episode:
    """An episode from its row and its steps.

    Raises:
        DataError: a column is missing, or the content is not what was written.
    """
    columns = _columns(steps, where=where)
    return _verified(_episode(row, columns, slice(0, steps.num_rows)), str(row["identity"]), where=where)


def load_episodes(folder: Path, part: str | None = None, *, at_least: int = 0) -> list[Episode]:
    """All episodes of a folder in their order, or those of one part of the split beside them.

    Raises:
        DataError: a file is missing, broken, or an episode is not the one that was written.
        SplitError: no such part, fewer episodes in it than ``at_least``, or the split does not divide these episodes.
    """
    rows = episode_rows(folder)
    identities = [str(row["identity"]) for row in rows]
    chosen = set(identities)
    if part is not None:
        chosen = set(load_split(folder / SPLIT, identities).part(part))
        if len(chosen) < at_least:
            raise SplitError(
                f"the {part} part has {len(chosen)} episodes",
                where=str(folder / SPLIT),
                limit=f"this needs at least {at_least}",
                remedy=f"give {part} a share in the manifest's split, or log more episodes",
            )
    columns = _columns(read_table(folder / TRANSITIONS), where=str(folder / TRANSITIONS))
    return [
        _verified(
            _episode(row, columns, steps), str(row["identity"]), where=f"{folder / TRANSITIONS}, episode {row['index']}"
        )
        for row, steps in zip(rows, _slices(rows, len(columns["reward"]), where=str(folder)), strict=True)
        if row["identity"] in chosen
    ]


def write_episode(path: Path, episode: Episode, extra: Mapping[str, Array] = NO_EXTRA) -> None:
    """Write one episode into one file, in one step.

    Args:
        path: the Parquet file.
        extra: further columns by name, one entry per step, shape (T,) or (T, n); numbers, booleans or texts.

    Raises:
        DataError: an extra column has another length, or the name of a column of the episode.
    """
    table = _step_table(episode)
    for name, values in extra.items():
        if name in table.column_names or len(values) != len(episode):
            raise DataError(
                f"the extra column {name!r} has {len(values)} entries",
                where=str(path),
                limit=f"{len(episode)} entries, and a name other than {', '.join(STEP_COLUMNS)}",
                remedy="mend the column",
            )
        table = table.append_column(name, column(np.asarray(values)))
    final = [float(x) for x in np.asarray(episode.observations[-1], dtype=np.float32)]
    header = json.dumps({**_summary(episode), "final_observation": final}, sort_keys=True)
    with replacing(path) as partial:
        pq.write_table(table.replace_schema_metadata({"episode": header}), partial, compression="zstd")


def read_episode(path: Path) -> tuple[Episode, dict[str, Array]]:
    """The episode in a file that ``write_episode`` wrote, and its extra columns.

    Raises:
        DataError: the file is missing, broken, or its content is not what was written.
    """
    table = read_table(path)
    try:
        row = json.loads((table.schema.metadata or {})[b"episode"])
        if not {"identity", "final_observation", *EPISODE_FACTS} <= set(row):
            raise ValueError(row)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("not an episode that was written here", where=str(path), remedy="restore the file") from error
    columns = _columns(table, where=str(path))
    episode = _verified(_episode(row, columns, slice(0, table.num_rows)), row["identity"], where=str(path))
    return episode, {name: array_of(table[name]) for name in table.column_names if name not in ("step", *STEP_COLUMNS)}


def _step_table(episode: Episode) -> pa.Table:
    return pa.table(
        {
            "step": pa.array(np.arange(len(episode), dtype=np.int32)),
            "observation": vectors(episode.observations[:-1]),
            "action": vectors(episode.actions),
            "reward": pa.array(np.asarray(episode.rewards, dtype=np.float32)),
            "cost": pa.array(np.asarray(episode.cost, dtype=np.float32)),
            "intervened": pa.array(np.asarray(episode.intervened, dtype=np.bool_)),
        }
    )


def _summary(episode: Episode) -> dict[str, Any]:
    return {
        "identity": episode.identity,
        "operator": episode.operator,
        "seed": int(episode.seed),
        "length": len(episode),
        "success": bool(episode.success),
        "score": float(episode.score),
        "terminated": bool(episode.terminated),
        "truncated": bool(episode.truncated),
        "return_": episode.discounted_return(1.0),
    }


def _columns(table: pa.Table, *, where: str) -> dict[str, Array]:
    require_columns(table, STEP_COLUMNS, where=where)
    columns = {name: array_of(table[name]) for name in STEP_COLUMNS}
    # Numbers that are spelled out would even have the right identity.
    for name, values in columns.items():
        if values.dtype.kind not in "fiub":
            kind = table.schema.field(name).type
            raise DataError(f"{name} holds {kind}", where=where, limit="numbers", remedy="write it anew")
    return columns


def _slices(rows: Sequence[Mapping[str, Any]], steps: int, *, where: str) -> Iterator[slice]:
    ends = np.cumsum([row["length"] for row in rows])
    if int(ends[-1]) != steps:
        limit = f"{EPISODES} counts {ends[-1]}"
        raise DataError(f"{TRANSITIONS} holds {steps} steps", where=where, limit=limit, remedy="write both anew")
    return (slice(int(end - row["length"]), int(end)) for row, end in zip(rows, ends, strict=True))


def _episode(row: Mapping[str, Any], columns: Mapping[str, Array], steps: slice) -> Episode:
    final = np.asarray(row["final_observation"], dtype=np.float32)[None]
    return Episode(
        observations=np.concatenate([columns["observation"][steps], final]),
        actions=columns["action"][steps].copy(),
        rewards=columns["reward"][steps].copy(),
        cost=columns["cost"][steps].copy(),
        intervened=columns["intervened"][steps].copy(),
        **{name: row[name] for name in EPISODE_FACTS},
    )


def _verified(episode: Episode, identity: str, *, where: str) -> Episode:
    if episode.identity != identity:
        raise DataError(
            f"the episode's content has the hash {episode.identity[:12]}",
            where=where,
            limit=f"it was written as {identity[:12]}",
            remedy="restore the file, or run validate again",
        )
    return episode
