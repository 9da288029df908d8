"""Diffusion Policy's replay buffer: a Zarr v2 store with ``data/<key>``, a row a step, and ``meta/episode_ends``.

The store is a folder or one zip file (``.zarr.zip``). ``episode_ends`` holds one past the last row of every episode.
Row t of every array is of one moment, ``action`` is what was commanded there; the observation after the last action
is not logged, nor is how an episode ended.

Every array of floats is a sensor, more than one axis flattened ((N, 9, 2) gives 18 numbers a step). The observation,
where a manifest selects none, is ``state``, else ``obs``, else what begins with ``obs`` or ``agent_pos``, else all
sensors. Pictures are left out. ``reward`` is the reward, ``timestamp`` the time in seconds; whole numbers and flags
are extra. An array of objects would have to be unpickled, and is left out.

Layout: Chi et al., 2023, "Diffusion Policy", arXiv:2303.04137; ``diffusion_policy/common/replay_buffer.py`` of
https://github.com/real-stanford/diffusion_policy.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from offline_to_online.dataset.files import require_readable
from offline_to_online.dataset.formats._zarr_array import ZarrArray, array_in
from offline_to_online.dataset.formats._zarr_files import Files, header, opened
from offline_to_online.dataset.logged import Contents, LeftOut, LoggedEpisode, Vector
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

GROUP, ENDS = ".zgroup", "meta/episode_ends"
COLUMNS = {"reward", "timestamp"}
SUFFIX = ".zarr.zip"


@dataclass(frozen=True, kw_only=True)
class Buffer:
    """An open replay buffer: its arrays by key, and one past the last row of every episode."""

    path: Path
    arrays: Mapping[str, ZarrArray]
    ends: Array
    per_episode: Mapping[str, Array]
    facts: Mapping[str, str]

    @property
    def sensors(self) -> dict[str, ZarrArray]:
        """What a manifest may select, by key."""
        return {
            key: array
            for key, array in self.arrays.items()
            if _is_vector(array) and "f" in str(array.dtype) and key not in COLUMNS | {"action"}
        }

    @property
    def others(self) -> dict[str, ZarrArray]:
        """Whole numbers and flags a step."""
        known = self.sensors.keys() | COLUMNS | {"action"}
        return {key: array for key, array in self.arrays.items() if _is_vector(array) and key not in known}


def recognises(path: Path) -> bool:
    """Whether it is a Zarr store, in a folder or a zip, that has ``data`` or ``meta/episode_ends``."""
    if path.is_dir():
        headers = any((path / name).is_file() for name in (GROUP, "zarr.json"))
        return (path / ENDS).is_dir() or (headers and (path / "data").is_dir())
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith((f"{ENDS}/", "data/.z", "data/zarr.json")) for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return path.is_file() and path.name.endswith(SUFFIX)


def describe(path: Path) -> Contents:
    """What the store holds, from its headers and ``episode_ends``; steps are rows as they stand.

    Raises:
        DataError: it is no Zarr v2 store, a header is broken, a chunk is missing, there is no ``action`` or no sensor,
            or ``episode_ends`` is not ascending or does not end where every array ends.
    """
    require_readable(path)
    with opened(path) as files:
        buffer = _buffer(files)
        return Contents(
            format="zarr_replay",
            sensors=tuple(_vector(key, array) for key, array in buffer.sensors.items()),
            observation=_default(list(buffer.sensors)),
            actions=_vector("action", buffer.arrays["action"]),
            rewards="reward" in buffer.arrays,
            ends=False,
            times="timestamp" in buffer.arrays,
            final_observation=False,
            episodes=len(buffer.ends),
            steps=int(buffer.ends[-1]),
            left_out=tuple(
                _left_out(key, array, buffer) for key, array in buffer.arrays.items() if _unread(key, buffer)
            ),
            facts=buffer.facts,
        )


def read(path: Path, *, sensors: Sequence[str] | None = None, extra: bool = False) -> Iterator[LoggedEpisode]:
    """Episodes in their order with the values as they stand in the store; in memory, one and a chunk of each array.

    Raises:
        DataError: as ``describe``, or a chunk is damaged.
    """
    require_readable(path)
    with opened(path) as files:
        buffer = _buffer(files)
        wanted = {key: array for key, array in buffer.sensors.items() if sensors is None or key in sensors}
        for index, (start, end) in enumerate(zip(np.r_[0, buffer.ends[:-1]], buffer.ends, strict=True)):
            yield _episode(buffer, wanted, index, int(start), int(end), extra=extra)


def _episode(
    buffer: Buffer, wanted: Mapping[str, ZarrArray], index: int, start: int, end: int, *, extra: bool
) -> LoggedEpisode:
    def column(key: str) -> Array | None:
        return buffer.arrays[key].rows(start, end)[:, 0] if key in buffer.arrays else None

    return LoggedEpisode(
        where=f"{buffer.path.name}, episode {index}",
        sensors={key: array.rows(start, end) for key, array in wanted.items()},
        actions=buffer.arrays["action"].rows(start, end),
        rewards=column("reward"),
        times=column("timestamp"),
        extra={key: array.rows(start, end) for key, array in buffer.others.items()} if extra else {},
        facts={key: values[index] for key, values in buffer.per_episode.items()} if extra else {},
    )


def _buffer(files: Files) -> Buffer:
    if files.size("zarr.json") is not None:
        limit, remedy = "Zarr format 2, which Diffusion Policy writes", "write the store with zarr_format=2"
        raise DataError("this is a store of Zarr format 3", where=str(files.path), limit=limit, remedy=remedy)
    if files.size(GROUP) is not None:
        header(files, GROUP)
    arrays = _arrays(files)
    _require_columns(arrays, files.path)
    ends = _ends(files, arrays)
    buffer = Buffer(
        path=files.path, arrays=arrays, ends=ends, per_episode=_per_episode(files, len(ends)), facts=_facts(files)
    )
    if not buffer.sensors:
        limit = "at least one array of floats a step"
        raise DataError("no vector is logged beside the actions", where=str(files.path), limit=limit, remedy="add one")
    for array in arrays.values():
        if _is_vector(array):
            array.require_chunks()
    return buffer


def _arrays(files: Files) -> dict[str, ZarrArray]:
    """Every array under ``data``, by key."""
    found = {}
    for key in files.inside("data"):
        array = array_in(files, f"data/{key}")
        if array is not None:
            found[key] = array
        elif files.inside(f"data/{key}"):
            where = f"{files.path}, data/{key}"
            raise DataError("there is no .zarray", where=where, limit="an array", remedy="copy the store again")
    return found


def _require_columns(arrays: Mapping[str, ZarrArray], path: Path) -> None:
    action = arrays.get("action")
    if action is None or not _is_vector(action):
        found = "there is no data/action" if action is None else f"data/action is {action.dtype} {action.shape}"
        raise DataError(found, where=str(path), limit="an array of numbers (steps, width)", remedy="record it again")
    for key in sorted(COLUMNS & arrays.keys()):
        if not _is_vector(arrays[key]) or arrays[key].width != 1:
            what = f"data/{key} is {arrays[key].dtype} {arrays[key].shape}"
            raise DataError(what, where=str(path), limit="one number a step", remedy="mend or remove it")


def _ends(files: Files, arrays: Mapping[str, ZarrArray]) -> Array:
    """``episode_ends``, once it ascends and ends where every array ends."""
    where = f"{files.path}, {ENDS}"
    array = array_in(files, ENDS)
    if array is None or not array.is_numeric or "f" in str(array.dtype) or len(array.shape) != 1 or array.shape[0] == 0:
        found = "there is none" if array is None else f"it is {array.dtype} {array.shape}"
        raise DataError(found, where=where, limit="a whole number for every episode", remedy="record it again")
    array.require_chunks()
    ends = array.rows(0, array.shape[0])[:, 0].astype(np.int64)
    early = np.flatnonzero(np.diff(ends, prepend=0) <= 0)
    if len(early):
        before = f"after row {ends[early[0] - 1]}" if early[0] else "after row 0"
        limit = f"{before}, where it begins"
        what = f"an episode ends at row {ends[early[0]]}"
        raise DataError(what, where=f"{where}, episode {early[0]}", limit=limit, remedy="mend episode_ends")
    for key, data in arrays.items():
        if not data.shape or data.shape[0] != ends[-1]:
            what = f"data/{key} has {data.shape[0] if data.shape else 'no'} rows, the last episode ends at {ends[-1]}"
            where = f"{files.path}, episode {len(ends) - 1}"
            raise DataError(what, where=where, limit="the same number", remedy="copy or record the store again")
    return ends


def _per_episode(files: Files, episodes: int) -> dict[str, Array]:
    """Other numbers of every episode under ``meta``."""
    found = {}
    for key in files.inside("meta"):
        array = array_in(files, f"meta/{key}")
        if array is not None and key != "episode_ends" and _is_vector(array) and array.shape[0] == episodes:
            array.require_chunks()
            found[key] = array.rows(0, episodes)
    return found


def _facts(files: Files) -> dict[str, str]:
    attributes = header(files, ".zattrs") if files.size(".zattrs") is not None else {}
    return {str(key): str(value) for key, value in attributes.items() if isinstance(value, str | int | float)}


def _is_vector(array: ZarrArray) -> bool:
    return array.is_numeric and not array.is_image and array.width > 0


def _vector(key: str, array: ZarrArray) -> Vector:
    return Vector(name=key, width=array.width, dtype=np.dtype(array.dtype).name)


def _default(names: list[str]) -> tuple[str, ...]:
    for key in ("state", "obs"):
        if key in names:
            return (key,)
    return tuple(name for name in names if name.startswith(("obs", "agent_pos"))) or tuple(names)


def _unread(key: str, buffer: Buffer) -> bool:
    return key not in buffer.sensors and key not in COLUMNS | {"action"}


def _left_out(key: str, array: ZarrArray, buffer: Buffer) -> LeftOut:
    detail = f"{array.dtype or 'fields'} {array.shape}"
    if key in buffer.others:
        return LeftOut(name=key, kind="other", detail=f"{detail}: no floats, read as extra")
    if array.is_image:
        return LeftOut(name=key, kind="image", detail=detail)
    if array.is_numeric:
        return LeftOut(name=key, kind="empty", detail=detail)
    text = array.dtype is not None and array.dtype[1:2] in ("S", "U")
    return LeftOut(name=key, kind="text" if text else "other", detail=detail)
