"""D4RL-layout HDF5: flat ``observations``, ``actions``, ``rewards``, ``terminals``, ``timeouts``; one row per step.

An episode ends where ``terminals`` or ``timeouts`` is true; rows after the last such row are an episode
whose recording was cut. ``next_observations`` may be absent: then the observation after the last step of
each episode was never logged, that step is dropped, and the episode counts as truncated. Optional:
``infos/{cost,intervened,operator,seed}`` per step, ``episodes/{ends,operator,seed,success,score}`` per episode.

The layout is D4RL's (Fu et al., 2020, "D4RL: Datasets for Deep Data-Driven Reinforcement Learning").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import replacing
from offline_to_online.dataset.formats._d4rl_recording import write_file
from offline_to_online.dataset.formats._d4rl_source import COLUMNS, Source, count_steps
from offline_to_online.dataset.formats._hdf5 import BROKEN, opened, optional
from offline_to_online.dataset.manifest import Manifest
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
            return bool(file.attrs.get("recorded_by") == RECORDED_BY)
    except BROKEN:
        return False


def steps(path: Path) -> int:
    """Rows in the file, whether or not each becomes a transition.

    Raises:
        DataError: the file cannot be read.
    """
    with opened(path) as file:
        return count_steps(file, path)


def logs_cost(path: Path) -> bool:
    """Whether the file holds the constraint cost of every step.

    Raises:
        DataError: the file cannot be read.
    """
    with opened(path) as file:
        return optional(file, "infos/cost", path) is not None


def read(path: Path, manifest: Manifest) -> Iterator[Episode]:
    """Episodes of a file in their order, one slice in memory at a time.

    Values are as they stand in the file (cast to float32): bounds are checked, and clipped where the
    manifest says so, by ``dataset.validation``.

    Raises:
        DataError: the file is missing, a pickle, truncated or no HDF5; a data set is missing, has
            another length or other dimensions than the manifest says; an episode is empty, longer than
            the horizon, of an unknown operator, or has a value that is not finite.
    """
    with opened(path) as file:
        source = Source(file=file, path=path, manifest=manifest)
        source.require_lengths()
        ends = source.ends()
        for index, (start, end) in enumerate(zip(np.r_[0, ends[:-1]], ends, strict=True)):
            yield source.episode(index, int(start), int(end))


def write(path: Path, episodes: Iterable[Episode], attributes: Mapping[str, str]) -> None:
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
        write_file(partial, list(episodes), {**attributes, "recorded_by": RECORDED_BY}, where=str(path))
