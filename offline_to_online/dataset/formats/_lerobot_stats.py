"""Statistics that a LeRobotDataset carries, held against its data: a scale that changed silently shows here.

They are read from ``meta/episodes_stats.jsonl`` (v2.1), the ``stats/`` columns of ``meta/episodes`` (v3.0), or
``meta/stats.json`` where no episode has its own (v2.0). Statistics of the counters are not compared: lerobot itself
leaves them stale when it merges data sets (https://github.com/huggingface/lerobot/issues/3788).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from offline_to_online.dataset.formats._lerobot_episodes import EPISODES_FILES, lines, whole
from offline_to_online.dataset.formats._lerobot_info import Feature, Info, load_json
from offline_to_online.dataset.formats._lerobot_parquet import cells, column_types
from offline_to_online.dataset.formats._lerobot_paths import is_file, matching
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

LINES, WHOLE_SET = "meta/episodes_stats.jsonl", "meta/stats.json"
KINDS = ("min", "max", "mean")
CLOSE = 1e-5  # of the largest value: float32 data whose statistics were written with at least six digits
BATCH_EPISODES = 64

Stats = Mapping[str, Mapping[str, Any]]


class Statistics:
    """What the metadata says of each episode's data, and of all of it."""

    def __init__(self, info: Info) -> None:
        self._info = info
        self._source, self._stream = _source(info)
        self._passed: dict[int, Stats] = {}
        self._low: dict[str, Array] = {}
        self._high: dict[str, Array] = {}

    def check(self, index: int, feature: Feature, values: Array, *, where: str) -> None:
        """Hold one column (T, width) of an episode against its statistics; to be called for episodes in order.

        Raises:
            DataError: the smallest, largest or mean value of a dimension is another one; or the statistics
                are broken, or lack the episode.
        """
        values = values.reshape(len(values), -1)
        if self._stream is None:
            low, high = values.min(axis=0), values.max(axis=0)
            self._low[feature.name] = np.minimum(self._low.get(feature.name, low), low)
            self._high[feature.name] = np.maximum(self._high.get(feature.name, high), high)
            return
        declared = self._of(index, where=where).get(feature.name)
        found = {"min": values.min(axis=0), "max": values.max(axis=0), "mean": values.mean(axis=0, dtype=np.float64)}
        _compare(feature, found, declared, len(values), source=self._source, where=where)

    def finish(self) -> None:
        """Hold all of the data against ``meta/stats.json``, where episodes had no statistics of their own.

        Raises:
            DataError: as ``check``.
        """
        if self._stream is not None or not self._low or not is_file(self._info.root, WHOLE_SET):
            return
        declared = load_json(self._info.root, WHOLE_SET)
        where = str(self._info.root)
        for name in self._low:
            found = {"min": self._low[name], "max": self._high[name]}
            entry = declared.get(name) if isinstance(declared, dict) else None
            _compare(self._info.features[name], found, entry, 1, source=WHOLE_SET, where=where)

    def _of(self, index: int, *, where: str) -> Stats:
        """Statistics of an episode. Those of others that are passed on the way are kept; in order there are none."""
        for passed in [key for key in self._passed if key < index]:
            del self._passed[passed]
        while index not in self._passed:
            following = next(self._stream, None) if self._stream is not None else None
            if following is None:
                limit = "one entry for every episode, where there are any"
                raise DataError(
                    f"{self._source} says nothing of this episode", where=where, limit=limit, remedy="restore the file"
                )
            self._passed[following[0]] = following[1]
        return self._passed[index]


def _source(info: Info) -> tuple[str, Iterator[tuple[int, Stats]] | None]:
    """Where statistics of the episodes lie, and they themselves; None where there are none."""
    if not info.consolidated:
        return LINES, _of_lines(info) if is_file(info.root, LINES) else None
    files = [name for _, name in matching(info.root, EPISODES_FILES)[0]]
    columns = [name for name in column_types(info.root, files[0]) if _is_wanted(name)] if files else []
    return "meta/episodes", _of_columns(info, files, columns) if columns else None


def _is_wanted(column: str) -> bool:
    parts = column.split("/")
    return len(parts) == 3 and parts[0] == "stats" and parts[2] in KINDS


def _of_lines(info: Info) -> Iterator[tuple[int, Stats]]:
    for number, row in lines(info.root, LINES):
        index, stats = row.get("episode_index"), row.get("stats")
        if not isinstance(index, int) or not isinstance(stats, dict):
            limit = "episode_index and stats"
            raise DataError(
                "no statistics of an episode",
                where=f"{info.root / LINES}, line {number}",
                limit=limit,
                remedy="restore the file",
            )
        yield index, stats


def _of_columns(info: Info, files: list[str], columns: list[str]) -> Iterator[tuple[int, Stats]]:
    for name in files:
        for row in cells(info.root, name, ["episode_index", *columns], rows=BATCH_EPISODES):
            stats: dict[str, dict[str, Any]] = {}
            for column in columns:
                _, feature, kind = column.split("/")
                stats.setdefault(feature, {})[kind] = row[column]
            yield whole(row["episode_index"], "episode_index", where=str(info.root / name)), stats


def _compare(
    feature: Feature, found: Mapping[str, Array], declared: Any, steps: int, *, source: str, where: str
) -> None:
    if not isinstance(declared, Mapping):
        return
    values = {kind: np.asarray(array, dtype=np.float64) for kind, array in found.items()}
    if not all(np.isfinite(array).all() for array in values.values()):
        return  # what is not finite is judged, with its step, by whoever assembles the episode
    scale = np.maximum(np.abs(values["min"]), np.abs(values["max"]))
    for kind, array in values.items():
        expected = _numbers(feature, declared.get(kind), source=source, where=where)
        # A mean may have been summed in float32, one value after the other: its error grows with their number.
        allowed = scale * (CLOSE + (steps * float(np.finfo(np.float32).eps) if kind == "mean" else 0.0))
        odd = np.flatnonzero(~(np.abs(array - expected) <= allowed)) if expected is not None else np.empty(0, int)
        if expected is not None and len(odd):
            dimension = int(odd[0])
            raise DataError(
                f"stats_mismatch: the {kind} of the data is {array[dimension]:.8g}, in {source} it is "
                f"{expected[dimension]:.8g}; {len(odd)} dimension(s) differ",
                where=f"{where}, {feature.label(dimension)}",
                limit="statistics describe the data beside them",
                remedy="restore the data; if it was changed on purpose, compute its statistics anew",
            )


def _numbers(feature: Feature, value: Any, *, source: str, where: str) -> Array | None:
    if value is None:
        return None
    try:
        numbers = np.asarray(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if len(numbers) != feature.width:
        raise DataError(
            f"stats_mismatch: {source} gives {len(numbers)} numbers for {feature.name}",
            where=where,
            limit=f"{feature.width}, one for each dimension",
            remedy="restore the metadata, or compute its statistics anew",
        )
    return numbers
