"""``meta/info.json`` of a LeRobotDataset: what the data set says of itself, checked before anything rests on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline_to_online.dataset.files import read_json
from offline_to_online.dataset.formats._lerobot_paths import CHUNKED, EPISODE_FILES, inside, require_template
from offline_to_online.errors import DataError

INFO = "meta/info.json"
VERSIONS = ("v2.0", "v2.1", "v3.0")
WHOLE = frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"})
NUMERIC = WHOLE | {"bool", "float16", "float32", "float64"}
FASTEST_HZ = 1e6
NESTED_NAMES = 4  # levels of lists around the names of dimensions; two are the most that is published


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A column of the data: its element type in numpy's words, its shape a step, and the names of its dimensions."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Numbers a step of a vector; a scalar has 1."""
        return self.shape[0] if self.shape else 1

    @property
    def is_vector(self) -> bool:
        """Whether it is numeric, and a scalar or a vector of at least one dimension."""
        return self.dtype in NUMERIC and len(self.shape) <= 1 and self.width > 0

    def label(self, dimension: int) -> str:
        """``action.kLeftElbow``, or ``action[3]`` where the dimensions have no names."""
        if self.names:
            return f"{self.name}.{self.names[dimension]}"
        return f"{self.name}[{dimension}]" if self.width > 1 else self.name


@dataclass(frozen=True, kw_only=True)
class Info:
    """What ``meta/info.json`` says. ``data_path`` and ``video_path`` are templates that stay inside ``root``."""

    root: Path
    version: str
    fps: float
    episodes: int
    frames: int
    tasks: int | None
    chunks_size: int
    data_path: str
    video_path: str | None
    features: Mapping[str, Feature]
    facts: Mapping[str, str]

    @property
    def consolidated(self) -> bool:
        """Whether many episodes share a file (v3.0), instead of one file each (v2)."""
        return self.version.startswith("v3")


def load_info(root: Path) -> Info:
    """``meta/info.json`` of the data set in a folder.

    Raises:
        DataError: it is missing or no JSON, its version is unknown, a field is missing or senseless,
            or a path template leads out of the folder.
    """
    where = str(root / INFO)
    raw = load_json(root, INFO)
    if not isinstance(raw, dict):
        raise DataError("the file holds no object", where=where, limit="names and values", remedy="restore the file")
    version = _version(raw, where=where)
    fields, needed = (CHUNKED, CHUNKED) if version.startswith("v3") else (EPISODE_FILES, EPISODE_FILES[1:])
    video_path = raw.get("video_path")
    return Info(
        root=root,
        version=version,
        fps=_fps(raw, where=where),
        episodes=_whole(raw, "total_episodes", where=where),
        frames=_whole(raw, "total_frames", where=where),
        tasks=_whole(raw, "total_tasks", where=where) if "total_tasks" in raw else None,
        chunks_size=max(_whole(raw, "chunks_size", where=where) if "chunks_size" in raw else 1000, 1),
        data_path=require_template(raw.get("data_path"), fields, needed, where=f"{where}, data_path"),
        video_path=None
        if video_path is None
        else require_template(video_path, (*fields, "video_key"), ("video_key",), where=f"{where}, video_path"),
        features=_features(raw, where=where),
        facts=_facts(raw, version),
    )


def load_json(root: Path, name: str) -> Any:
    """What a JSON file of the data set holds.

    Raises:
        DataError: it is missing, no JSON, nested beyond measure, or lies outside the data set.
    """
    path = inside(root, name)
    try:
        return read_json(path)
    except RecursionError as error:
        raise DataError("nested too deeply to be read", where=str(path), remedy="restore the file") from error


def _version(raw: Mapping[str, Any], *, where: str) -> str:
    version = raw.get("codebase_version")
    if version not in VERSIONS:
        raise DataError(
            f"codebase_version is {version!r}",
            where=where,
            limit=f"LeRobotDataset {', '.join(VERSIONS)} are read",
            remedy="convert the data set with lerobot's own script",
        )
    return str(version)


def _whole(raw: Mapping[str, Any], key: str, *, where: str) -> int:
    value = raw.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DataError(f"{key} is {value!r}", where=where, limit="a whole number from 0", remedy="mend the file")
    return value


def _fps(raw: Mapping[str, Any], *, where: str) -> float:
    value = raw.get("fps")
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < FASTEST_HZ:
        limit = f"a number above 0 and below {FASTEST_HZ:g}, in Hz"
        raise DataError(f"fps is {value!r}", where=where, limit=limit, remedy="mend the file")
    return float(value)


def _facts(raw: Mapping[str, Any], version: str) -> dict[str, str]:
    facts = {"codebase_version": version}
    for key in ("robot_type", "license"):
        if isinstance(raw.get(key), str):
            facts[key] = raw[key]
    if isinstance(raw.get("splits"), dict):
        facts["splits"] = ", ".join(f"{name} {rows}" for name, rows in raw["splits"].items())
    return facts


def _features(raw: Mapping[str, Any], *, where: str) -> dict[str, Feature]:
    listed = raw.get("features")
    if not isinstance(listed, dict) or not listed:
        limit = "one entry for each column of the data"
        raise DataError("no features are listed", where=where, limit=limit, remedy="restore the file")
    return {name: _feature(name, entry, where=f"{where}, feature {name}") for name, entry in listed.items()}


def _feature(name: str, entry: Any, *, where: str) -> Feature:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        raise DataError("no dtype is given", where=where, limit="dtype, shape and names", remedy="mend the file")
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
        raise DataError(f"the shape is {shape!r}", where=where, limit="a list of whole numbers", remedy="mend the file")
    feature = Feature(name=name, dtype=entry["dtype"], shape=tuple(shape))
    if not feature.is_vector:
        return feature
    names = _flat(entry.get("names"), where=where)
    if len(names) == 1 < feature.width:
        return feature  # one name for a whole vector names its axis, as ["height", "width"] do for a picture
    if names and len(names) != feature.width:
        raise DataError(
            f"{len(names)} names for {feature.width} dimensions",
            where=where,
            limit="one name for each dimension, or none",
            remedy="mend the names or the shape",
        )
    return Feature(name=name, dtype=feature.dtype, shape=feature.shape, names=names)


def _flat(names: Any, *, where: str, level: int = 0) -> tuple[str, ...]:
    """Names of dimensions: from a list, a list of lists, ``{"motors": [...]}`` or ``{"x": 0, "y": 1}``."""
    if names is None:
        return ()
    if level > NESTED_NAMES:
        limit = f"lists in at most {NESTED_NAMES} levels"
        raise DataError("the names are nested too deeply", where=where, limit=limit, remedy="mend the names")
    if isinstance(names, dict):
        if names and all(isinstance(place, int) for place in names.values()):
            return tuple(str(name) for name in sorted(names, key=lambda name: int(names[name])))
        names = list(names.values())
    if isinstance(names, list):
        return tuple(name for part in names for name in _flat(part, where=where, level=level + 1))
    return (str(names),)
