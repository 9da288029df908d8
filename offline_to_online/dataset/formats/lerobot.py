"""LeRobotDataset v2.0, v2.1 and v3.0, read and written without lerobot. A folder of Parquet files and metadata.

    v2    meta/info.json, episodes.jsonl, tasks.jsonl, [episodes_stats.jsonl | stats.json];
          data/chunk-000/episode_000000.parquet, a file for each episode
    v3.0  meta/info.json, tasks.parquet, stats.json, episodes/chunk-000/file-000.parquet with a row an episode;
          data/chunk-000/file-000.parquet, with many episodes in a file

Every numeric scalar or vector ``observation.*`` is a sensor and ``action`` the actions; ``next.reward``,
``next.done``, ``next.success`` ... follow the action of their row, as does ``next.observation.*`` where it is logged.
Pictures and texts are listed and left out. An episode has one row a frame, so that the observation after the last
action is mostly not there.

``export`` writes T rows for T actions, and keeps the observation after each action as ``next.observation.state``: a
final row without an action would have to make one up, and be trained on. lerobot's policies take as input
only what begins with ``observation``, so that they do not see it, and its tools carry it along as any feature.

The layout is that of lerobot 0.4.4 and of its main branch of August 2026
(https://github.com/huggingface/lerobot, src/lerobot/datasets).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.formats._lerobot_contents import findings, left_out, provenance, vector
from offline_to_online.dataset.formats._lerobot_episodes import load_spans, load_tasks
from offline_to_online.dataset.formats._lerobot_export import write_folder
from offline_to_online.dataset.formats._lerobot_info import INFO, load_info
from offline_to_online.dataset.formats._lerobot_roles import columns, logged, roles
from offline_to_online.dataset.formats._lerobot_rows import episodes, require_tasks
from offline_to_online.dataset.formats._lerobot_stats import Statistics
from offline_to_online.dataset.logged import Contents, LoggedEpisode

SIGNS = (INFO, "meta/episodes.jsonl", "meta/episodes", "meta/tasks.jsonl", "meta/tasks.parquet")
NAMED_TASKS = 10  # of a data set with more, only these are quoted


def recognises(path: Path) -> bool:
    """Whether a folder looks like this format: by its ``meta/info.json``, or by what else lies in ``meta``."""
    try:
        if not path.is_dir() or not any((path / sign).exists() for sign in SIGNS):
            return False
        raw = json.loads((path / INFO).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return path.is_dir()
    return not isinstance(raw, dict) or "codebase_version" in raw or "features" in raw


def describe(path: Path) -> Contents:
    """What is in the data set, from its metadata and the footers of its files.

    Raises:
        DataError: the metadata is missing, broken or contradicts itself, a data file is missing or is no Parquet,
            or a path leads out of the folder.
    """
    info = load_info(path)
    found = roles(info)
    spans = load_spans(info)
    tasks = load_tasks(info)
    known = provenance(info)
    return Contents(
        format="lerobot",
        sensors=tuple(vector(feature, known) for feature in found.sensors.values()),
        observation=found.observation,
        actions=vector(found.actions, known),
        rewards="rewards" in found.scalars,
        ends=any(role in found.scalars for role in ("done", "terminated", "truncated")),
        times="times" in found.scalars,
        final_observation=all(name in found.following for name in found.observation),
        episodes=len(spans),
        steps=spans[-1].start + spans[-1].length,
        control_rate_hz=info.fps,
        operators=known.operators,
        left_out=left_out(info, found, spans),
        findings=findings(info, found, spans, tasks),
        facts={**info.facts, **_task_facts(tasks), **known.facts},
    )


def read(path: Path, *, sensors: Sequence[str] | None = None, extra: bool = False) -> Iterator[LoggedEpisode]:
    """Episodes of a data set in their order; a batch of rows and one episode are in memory at a time.

    Raises:
        DataError: as ``describe``; a row is not where its counters say, a value is missing or has another shape,
            counts disagree, or the data is not what its own statistics describe.
    """
    info = load_info(path)
    found = roles(info)
    selected = found.select(sensors, where=str(path))
    spans, tasks = load_spans(info), load_tasks(info)
    statistics = Statistics(info)
    for rows in episodes(info, spans, columns(info, found, selected, extra=extra)):
        require_tasks(info, rows, tasks)
        yield logged(rows, found, selected, statistics, extra=extra)
    statistics.finish()


def export(folder: Path, episodes: Iterable[Episode], about: Mapping[str, Any]) -> None:
    """Write episodes as LeRobotDataset v3.0, whole or not at all; the same bytes for the same content.

    Args:
        folder: where to; it must not be there yet.
        episodes: of one observation and action schema; one at a time is in memory.
        about: name, action (ActionSchema), observation (ObservationSchema), control_rate_hz, licence, source,
            robot, robot_body.

    Raises:
        DataError: the folder is there already, there are no episodes, one does not fit the schemas or holds a
            number that is not finite, or the disk refuses.
    """
    write_folder(folder, episodes, about)


def _task_facts(tasks: Mapping[int, str] | None) -> dict[str, str]:
    if not tasks:
        return {}
    named = [tasks[index] for index in sorted(tasks)]
    more = [f"and {len(named) - NAMED_TASKS} more"] if len(named) > NAMED_TASKS else []
    return {"tasks": "; ".join(chain(named[:NAMED_TASKS], more))}
