"""D4RL-layout HDF5: flat ``observations``, ``actions``, ``rewards``, ``terminals``, ``timeouts``; one row per step.

An episode ends where ``terminals`` or ``timeouts`` is true; rows after the last such row are an episode
whose recording was cut. ``timeouts`` and ``next_observations`` may be absent. Optional:
``infos/{cost,intervened,operator,seed,success,time}`` and any other vector per step (a manifest may select it as
a sensor), ``episodes/{ends,operator,seed,success,score}`` and other numbers per episode.

The layout is D4RL's (Fu et al., 2020, "D4RL: Datasets for Deep Data-Driven Reinforcement Learning").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import h5py

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import replacing
from offline_to_online.dataset.formats._d4rl_episodes import episodes
from offline_to_online.dataset.formats._d4rl_recording import write_file
from offline_to_online.dataset.formats._d4rl_source import COLUMNS, Source
from offline_to_online.dataset.formats._hdf5 import BROKEN, attribute, opened
from offline_to_online.dataset.logged import Contents, LoggedEpisode
from offline_to_online.errors import DataError

RECORDED_BY = "offline_to_online collect"
SIGNATURE = b"\x89HDF\r\n\x1a\n"
SUFFIXES = (".hdf5", ".h5")


def recognises(path: Path) -> bool:
    """Whether a file looks like this format: by its root data sets, or by its suffix where it cannot be opened."""
    if not path.is_file():
        return False
    try:
        with h5py.File(path, "r") as file:
            return any(name in file for name in COLUMNS)
    except BROKEN:
        with path.open("rb") as stream:
            return path.suffix.lower() in SUFFIXES or stream.read(len(SIGNATURE)) == SIGNATURE


def is_ours(path: Path) -> bool:
    """Whether the collect stage recorded this file, so that it may write it anew."""
    try:
        with h5py.File(path, "r") as file:
            return bool(attribute(file, "recorded_by", path) == RECORDED_BY)
    except (*BROKEN, DataError):
        return False


def describe(path: Path) -> Contents:
    """What the file holds, from its headers.

    Raises:
        DataError: the file is missing, a pickle, truncated or no HDF5; a column is missing or of another length.
    """
    with opened(path) as file:
        return Source(file=file, path=path).contents("d4rl_hdf5")


def read(path: Path, *, sensors: Sequence[str] | None = None, extra: bool = False) -> Iterator[LoggedEpisode]:
    """Episodes of a file in their order, with its values as they stand there; a block of rows in memory at a time.

    Raises:
        DataError: the file is missing, a pickle, truncated or no HDF5; a data set is missing or of another
            length; an end of an episode, its operator, seed, success or score is no such value.
    """
    with opened(path) as file:
        yield from episodes(Source(file=file, path=path), sensors, extra=extra)


def write(path: Path, recorded: Iterable[Episode], attributes: Mapping[str, str]) -> None:
    """Write episodes in one step, the same bytes for the same content, marked as recorded here.

    Raises:
        DataError: there are no episodes, or ``path`` is a file that the collect stage did not write.
    """
    if path.exists() and not is_ours(path):
        raise DataError(
            "this file was not recorded by collect, and will not be overwritten",
            where=str(path),
            limit="collect writes only its own files",
            remedy="move it elsewhere, and name it as data of its own",
        )
    with replacing(path) as partial:
        write_file(partial, list(recorded), {**attributes, "recorded_by": RECORDED_BY}, where=str(path))
