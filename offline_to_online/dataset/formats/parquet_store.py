"""This project's own episodes: a folder that ``validate`` wrote, or the episodes of an online run.

``transitions.parquet`` with ``episodes.parquet`` (``dataset.store.write_episodes``), or one Parquet file an episode
(``write_episode``), in the folder itself or in its ``episodes/``. Reading them as any other format makes what was
logged online inspectable and exportable by the same commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.formats._own_files import own
from offline_to_online.dataset.logged import Contents, LoggedEpisode, Vector
from offline_to_online.dataset.spec import Array
from offline_to_online.dataset.store import EPISODES, TRANSITIONS, read_episode
from offline_to_online.dataset.store_stream import is_episode, stream_episodes
from offline_to_online.errors import DataError

SENSOR = "observation"


def recognises(path: Path) -> bool:
    """Whether the folder holds a store, or episodes in files of their own."""
    folder = _folder(path)
    if any((folder / name).is_file() for name in (TRANSITIONS, EPISODES)):
        return True
    return any(is_episode(file) for file in _files(folder)[:1])


def describe(path: Path) -> Contents:
    """What the episodes are.

    Raises:
        DataError: there are none, or the first is broken.
    """
    _, episode = next(_episodes(path))
    return Contents(
        format="parquet_store",
        sensors=(Vector(name=SENSOR, width=episode.observations.shape[1], dtype="float32"),),
        observation=(SENSOR,),
        actions=Vector(name="action", width=episode.actions.shape[1], dtype="float32"),
        rewards=True,
        ends=True,
        times=False,
        final_observation=True,
    )


def read(path: Path, *, sensors: Sequence[str] | None = None, extra: bool = False) -> Iterator[LoggedEpisode]:
    """Every episode, verified against the identity it was written with. There is one sensor, and nothing extra.

    Raises:
        DataError: a file is missing or broken, or an episode is not the one that was written.
    """
    for where, episode in _episodes(path):
        last = [step == len(episode) - 1 for step in range(len(episode))]
        yield LoggedEpisode(
            where=where,
            sensors={SENSOR: episode.observations},
            actions=episode.actions,
            rewards=episode.rewards,
            terminals=_flag(last, episode.terminated),
            timeouts=_flag(last, episode.truncated),
            cost=episode.cost,
            intervened=episode.intervened,
            operator=episode.operator,
            seed=episode.seed,
            success=episode.success,
            score=episode.score,
        )


def _flag(last: list[bool], value: bool) -> Array:
    return np.array(last) & value


def _episodes(path: Path) -> Iterator[tuple[str, Episode]]:
    folder = _folder(path)
    for file in sorted(own(folder, path).glob("*.parquet")):
        own(file, path)
    if (folder / TRANSITIONS).is_file() or (folder / EPISODES).is_file():
        for index, episode in enumerate(stream_episodes(folder)):
            yield f"{folder / TRANSITIONS}, episode {index}", episode
        return
    files = _files(folder)
    if not files:
        raise DataError("no episodes", where=str(path), limit="at least 1", remedy="check the folder")
    _require_all(files)
    widths = None
    for file in files:
        episode = read_episode(file)[0]
        found = episode.observations.shape[1], episode.actions.shape[1]
        if found != (widths := widths or found):
            what, limit = f"observation and action have {found} dimensions", f"{widths} in the episodes before it"
            raise DataError(what, where=str(file), limit=limit, remedy="keep one robot's episodes in a folder")
        yield str(file), episode


def _require_all(files: list[Path]) -> None:
    """An online run numbers its episodes: a number that is skipped is an episode that was lost."""
    numbers = sorted(int(file.stem) for file in files if file.stem.isdecimal())
    for number, after in pairwise(numbers):
        if after != number + 1:
            what, remedy = f"no episode between {number} and {after}", "restore the file"
            raise DataError(what, where=str(files[0].parent), limit="every number in a row", remedy=remedy)


def _folder(path: Path) -> Path:
    inner = path / "episodes"
    return inner if inner.is_dir() else path


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.parquet") if p.name not in (TRANSITIONS, EPISODES))
