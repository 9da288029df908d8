"""What a Minari data set says of itself in ``metadata.json``: counts, spaces, and where it comes from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from offline_to_online.dataset.formats._minari_space import Leaf, leaves
from offline_to_online.dataset.formats._own_files import own
from offline_to_online.errors import DataError

METADATA = "metadata.json"
MOST_BYTES = 64 * 2**20
FACTS = (
    "dataset_id",
    "description",
    "author",
    "algorithm_name",
    "code_permalink",
    "minari_version",
    "data_format",
    "requirements",
    "licence",
    "source",
    "robot",
    "robot_body",
)


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The declared side of a data set; the data is held against it.

    Attributes:
        path: of the file.
        storage: ``hdf5`` or ``arrow``.
        episodes, steps: as declared.
        observation, action: leaves of the declared spaces; None where an old data set leaves them to its environment.
        control_rate_hz: where declared; Minari itself does not.
        names: of the dimensions of ``observations`` and ``actions``, where declared (our own export does).
        facts: the rest that a person may want to know, as texts.
    """

    path: Path
    storage: str
    episodes: int
    steps: int
    observation: tuple[Leaf, ...] | None
    action: tuple[Leaf, ...] | None
    control_rate_hz: float | None
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


def load_metadata(data: Path, root: Path) -> Metadata:
    """The metadata of the data folder ``data``, which lies in ``root``.

    Raises:
        DataError: it is missing or no JSON object, or what it says of counts, storage or spaces is no such thing.
    """
    path = data / METADATA
    content = json_object(path, root)
    return Metadata(
        path=path,
        storage=_storage(content, path),
        episodes=_count(content, "total_episodes", path),
        steps=_count(content, "total_steps", path),
        observation=_space(content, "observation_space", "observations", path),
        action=_space(content, "action_space", "actions", path),
        control_rate_hz=_rate(content.get("control_rate_hz"), path),
        names=_names(content.get("dimension_names"), path),
        facts=_facts(content),
    )


def own_file(path: Path, root: Path) -> Path:
    """A regular file that lies in ``root`` itself: no link leads to it from elsewhere.

    Raises:
        DataError: there is none, or it is a link out of ``root``.
    """
    own(path, root)
    if not path.is_file():
        raise DataError("no such file", where=str(path), limit="part of a Minari data set", remedy="copy it again")
    return path


def json_object(path: Path, root: Path) -> dict[str, Any]:
    """The object in a JSON file of the data set.

    Raises:
        DataError: the file is missing, a link to elsewhere, too large, or holds no JSON object.
    """
    size = own_file(path, root).stat().st_size
    if size > MOST_BYTES:
        raise DataError(f"{size} bytes of metadata", where=str(path), limit=f"{MOST_BYTES}", remedy="check the file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"not readable as JSON: {error}", where=str(path), remedy="copy it again") from error
    if not isinstance(content, dict):
        raise DataError("no JSON object", where=str(path), limit="Minari's metadata", remedy="copy it again")
    return content


def whole(value: Any) -> int | None:
    """A whole number as such, be it Python's or numpy's; else None."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number == value else None


def _count(content: Mapping[str, Any], key: str, path: Path) -> int:
    count = whole(content.get(key))
    if count is None or count < 0:
        limit = "a whole number from 0"
        raise DataError(f"{key} is {content.get(key)!r:.60}", where=str(path), limit=limit, remedy="mend the metadata")
    return count


def _storage(content: Mapping[str, Any], path: Path) -> str:
    # Minari wrote nothing but HDF5 before version 0.5, and did not say so.
    storage = content.get("data_format", "hdf5")
    if storage not in ("hdf5", "arrow"):
        remedy = "convert it with minari's own DataCollector or create_dataset_from_buffers"
        raise DataError(f"the storage is {storage!r:.60}", where=str(path), limit="hdf5 or arrow", remedy=remedy)
    return str(storage)


def _space(content: Mapping[str, Any], key: str, name: str, path: Path) -> tuple[Leaf, ...] | None:
    text = content.get(key)
    if text is None:
        return None
    try:
        space = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        limit = "a space as JSON in a text"
        raise DataError(f"{key} is not readable: {error}", where=str(path), limit=limit, remedy="mend it") from error
    return leaves(space, name, where=f"{path}, {key}")


def _rate(value: Any, path: Path) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        limit = "a number above 0"
        raise DataError(f"control_rate_hz is {value!r:.60}", where=str(path), limit=limit, remedy="mend the metadata")
    return float(value)


def _names(content: Any, path: Path) -> dict[str, tuple[str, ...]]:
    if content is None:
        return {}
    lists = content.values() if isinstance(content, dict) else [None]
    if not all(isinstance(row, list) and all(isinstance(name, str) for name in row) for row in lists):
        limit = "lists of texts for observations and actions"
        raise DataError("dimension_names is no such thing", where=str(path), limit=limit, remedy="mend the metadata")
    return {key: tuple(row) for key, row in content.items()}


def _facts(content: Mapping[str, Any]) -> dict[str, str]:
    facts = {key: _text(content[key]) for key in FACTS if content.get(key) not in (None, "", [])}
    return {**facts, **_environment(content.get("env_spec"))}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _environment(spec: Any) -> dict[str, str]:
    """The environment's name and horizon out of gymnasium's EnvSpec; the text itself where it is none."""
    if not isinstance(spec, str):
        return {}
    try:
        content = json.loads(spec)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or "id" not in content:
        return {"env_spec": spec}
    wanted = {"environment": content["id"], "max_episode_steps": content.get("max_episode_steps")}
    return {"env_spec": spec, **{key: str(value) for key, value in wanted.items() if value is not None}}
