"""Minari data sets (https://minari.farama.org): a folder with ``metadata.json`` and HDF5 or Arrow storage.

The path is the data set's folder, its ``data`` folder, or the ``main_data.hdf5`` in it. Observations are T+1 a
row each; a Dict or Tuple space gives one sensor a leaf, named by its place (``observations/arm/joints``). Infos of
each step are ``extra``, but for ``infos/cost``, ``infos/intervened`` and ``infos/success``. ``fetch`` has the minari
library download a data set by its name; reading needs no library, and no environment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py

from offline_to_online.dataset.files import require_readable
from offline_to_online.dataset.formats._hdf5 import BROKEN
from offline_to_online.dataset.formats._minari_arrow import arrow_storage
from offline_to_online.dataset.formats._minari_column import Storage
from offline_to_online.dataset.formats._minari_episode import logged_episode
from offline_to_online.dataset.formats._minari_export import export
from offline_to_online.dataset.formats._minari_hdf5 import MAIN, hdf5_storage
from offline_to_online.dataset.formats._minari_hub import fetch
from offline_to_online.dataset.formats._minari_layout import Layout, layout_of
from offline_to_online.dataset.formats._minari_metadata import METADATA, Metadata, load_metadata
from offline_to_online.dataset.formats._minari_survey import misnumbered, survey, wrong_steps
from offline_to_online.dataset.formats._own_files import own
from offline_to_online.dataset.logged import Contents, LoggedEpisode
from offline_to_online.errors import DataError

__all__ = ["describe", "export", "fetch", "read", "recognises"]

DATA = "data"
STORAGES: Mapping[str, Callable[[Path, Path], AbstractContextManager[Storage]]] = {
    "hdf5": hdf5_storage,
    "arrow": arrow_storage,
}


@dataclass(frozen=True, kw_only=True)
class _Source:
    """An open data set, and the numbers of its episodes."""

    metadata: Metadata
    storage: Storage
    numbers: tuple[int, ...]
    layout: Layout


def recognises(path: Path) -> bool:
    """Whether a path is a Minari data set, or its data folder or file: by Minari's metadata and file beside it."""
    try:
        if path.is_file():
            return path.name == MAIN and (path.parent / METADATA).is_file() and _has_episodes(path)
        data = _data_folder(path)
        return (data / MAIN).is_file() or ((data / METADATA).is_file() and _says_minari(data / METADATA))
    except OSError:
        return False


def describe(path: Path) -> Contents:
    """What the data set holds, from its metadata, its first episode's columns and the attributes of all episodes.

    Raises:
        DataError: a file is missing, a link to elsewhere or broken; the spaces are not those of the data.
    """
    with _opened(path) as source:
        findings, operators = survey(source.metadata, source.storage, source.numbers)
        layout = source.layout
        return Contents(
            format="minari",
            sensors=layout.sensors,
            observation=tuple(sensor.name for sensor in layout.sensors),
            actions=layout.actions,
            rewards=True,
            ends=True,
            times=False,
            final_observation=True,
            episodes=source.metadata.episodes,
            steps=source.metadata.steps,
            control_rate_hz=source.metadata.control_rate_hz,
            operators=operators,
            left_out=layout.left_out,
            findings=tuple(findings),
            facts=source.metadata.facts,
        )


def read(path: Path, *, sensors: Sequence[str] | None = None, extra: bool = False) -> Iterator[LoggedEpisode]:
    """Episodes by their number, one in memory at a time, with the values as they stand in the file.

    Raises:
        DataError: as ``describe``; or an episode is missing, its columns differ in length or from the first
            episode's, or a count in the metadata is not that of the data.
    """
    with _opened(path) as source:
        for finding in misnumbered(source.metadata, source.storage, source.numbers):
            raise finding.error()
        wanted, steps = _selected(sensors, source.layout, source.metadata), 0
        for number in source.numbers:
            attributes = source.storage.attributes(number)
            with source.storage.episode(number) as tree:
                episode = logged_episode(tree, source.layout, attributes, number=number, sensors=wanted, extra=extra)
            steps += len(episode)
            yield episode
        if steps != source.metadata.steps:
            raise wrong_steps(source.metadata, steps).error()


@contextmanager
def _opened(path: Path) -> Iterator[_Source]:
    require_readable(path)
    root = path if path.is_dir() else path.parent
    data = own(_data_folder(path), root)
    metadata = load_metadata(data, root)
    with STORAGES[metadata.storage](data, root) as storage:
        numbers = tuple(storage.entries()[0])
        if not numbers:
            missing = misnumbered(metadata, storage, numbers)
            raise missing[0].error() if missing else _empty(storage)
        with storage.episode(numbers[0]) as tree:
            layout = layout_of(metadata, tree)
        yield _Source(metadata=metadata, storage=storage, numbers=numbers, layout=layout)


def _data_folder(path: Path) -> Path:
    if path.is_file():
        return path.parent
    return path / DATA if (path / DATA).is_dir() and not (path / METADATA).is_file() else path


def _has_episodes(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return any(name.startswith("episode_") for name in file)
    except BROKEN:
        return False


def _says_minari(path: Path) -> bool:
    with path.open("rb") as stream:
        start = stream.read(2**24)
    return b'"total_episodes"' in start and b'"total_steps"' in start


def _empty(storage: Storage) -> DataError:
    return DataError("no episodes", where=str(storage.path), limit="at least 1", remedy="record some")


def _selected(sensors: Sequence[str] | None, layout: Layout, metadata: Metadata) -> tuple[str, ...]:
    names = tuple(sensor.name for sensor in layout.sensors)
    unknown = [name for name in sensors or () if name not in names]
    if unknown:
        limit = f"there is {', '.join(names)}"
        raise DataError(f"no sensor {unknown[0]!r}", where=str(metadata.path), limit=limit, remedy="choose of those")
    return names if sensors is None else tuple(sensors)
