"""Episodes of ours as a Minari data set in HDF5, which ``minari.load_dataset`` opens."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.formats._minari_hdf5 import MAIN
from offline_to_online.dataset.formats._minari_metadata import METADATA
from offline_to_online.dataset.spec import Array, VectorSchema
from offline_to_online.errors import DataError

# The first version of Minari with this layout: it and all later ones open what names it.
LAYOUT_VERSION = "0.5.0"
NAME = re.compile(r"(?:[-\w]+/)*[-\w]+?(?P<version>-v\d+)?")
NOT_ALLOWED = re.compile(r"[^-\w/]+")
CHUNK_STEPS = 1024
SAID = ("licence", "source", "robot", "robot_body", "control_rate_hz")


def export(folder: Path, episodes: Iterable[Episode], about: Mapping[str, Any]) -> None:
    """Write episodes as a Minari data set: a new folder, whole or not at all, the same bytes for the same content.

    Operator, seed, success and score become attributes of each episode; cost and intervened become infos, which
    like Minari's own have an entry for the reset before that of the first step. Minari finds the data set by name
    where ``folder`` is that name below its own folder of data sets.

    Args:
        folder: the data set's folder; there may be nothing yet.
        episodes: taken one at a time.
        about: ``name`` (the data set's; ``-v0`` is added where it has no version), ``action`` and ``observation``
            (their schemas), and for the record ``control_rate_hz``, ``licence``, ``source``, ``robot``, ``robot_body``.

    Raises:
        DataError: something lies there already, the name is none of Minari's, there are no episodes, one does not
            fit the schemas or has no end, or the disk refuses.
    """
    name = _dataset_id(str(about["name"]))
    with _new_folder(folder) as partial:
        data = partial / "data"
        with _writing(folder):
            data.mkdir(parents=True)
        counted = _write_episodes(data / MAIN, episodes, about, where=str(folder))
        with _writing(folder):
            (data / METADATA).write_text(_metadata(name, data / MAIN, about, **counted), encoding="utf-8")


def _dataset_id(name: str) -> str:
    """In Minari's form; what it allows in no name, such as the dot of ``log.hdf5``, becomes a dash."""
    dashed = NOT_ALLOWED.sub("-", name)
    found = NAME.fullmatch(dashed)
    if found is None:
        limit = "letters, digits, '-', '_' and '/' between, such as door/human-v0"
        raise DataError(f"{name!r} is no name for a Minari data set", limit=limit, remedy="rename it")
    return dashed if found["version"] else f"{dashed}-v0"


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A temporary sibling that becomes ``folder`` when the block ends well, else it is removed."""
    if os.path.lexists(folder):
        limit = "an export never replaces anything"
        raise DataError("something lies there already", where=str(folder), limit=limit, remedy="name a new folder")
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        yield partial
        with _writing(folder):
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        remedy = "check the disk, and who may write there"
        raise DataError(f"cannot write: {error}", where=str(folder), remedy=remedy) from error


def _write_episodes(path: Path, episodes: Iterable[Episode], about: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    count, steps = 0, 0
    operators: set[str] = set()
    with _new_file(path) as file:
        for episode in episodes:
            _require_fit(episode, about, where=f"{where}, episode {count}")
            with _writing(path):
                _add(file.create_group(f"episode_{count}"), episode, count)
            count, steps = count + 1, steps + len(episode)
            operators.add(episode.operator)
    if not count:
        raise DataError("no episodes to write", where=where, limit="at least 1", remedy="check the data")
    return {"episodes": count, "steps": steps, "operators": sorted(operators)}


@contextmanager
def _new_file(path: Path) -> Iterator[Any]:
    with _writing(path):
        # Neither times nor the order of insertion enter the file.
        file = h5py.File(path, "w", libver=("earliest", "v110"), track_order=False)
    try:
        yield file
    finally:
        with _writing(path):
            file.close()


def _require_fit(episode: Episode, about: Mapping[str, Any], *, where: str) -> None:
    steps = len(episode.actions)
    wanted = {
        "observations": (steps + 1, about["observation"].size),
        "actions": (steps, about["action"].size),
        **dict.fromkeys(("rewards", "cost", "intervened"), (steps,)),
    }
    for name, shape in wanted.items():
        if (found := np.shape(getattr(episode, name))) != shape:
            limit = f"the schemas and {steps} actions ask for {shape}"
            raise DataError(f"{name} have the shape {found}", where=where, limit=limit, remedy="mend the episode")
    if not steps or not (episode.terminated or episode.truncated):
        what = "the episode has no steps" if not steps else "the episode is neither terminated nor truncated"
        raise DataError(what, where=where, limit="at least 1 step, and an end", remedy="mend the episode")


def _add(group: Any, episode: Episode, number: int) -> None:
    last = np.arange(len(episode)) == len(episode) - 1
    columns: dict[str, Array] = {
        "observations": np.asarray(episode.observations, dtype=np.float32),
        "actions": np.asarray(episode.actions, dtype=np.float32),
        "rewards": np.asarray(episode.rewards, dtype=np.float32),
        "terminations": last & episode.terminated,
        "truncations": last & episode.truncated,
        "infos/cost": np.r_[0, episode.cost].astype(np.float32),
        "infos/intervened": np.r_[False, episode.intervened].astype(np.bool_),
    }
    for name, values in columns.items():
        # The book-keeping of chunks would outweigh a short episode.
        packed = {"chunks": (CHUNK_STEPS, *values.shape[1:]), "compression": "gzip", "compression_opts": 4}
        group.create_dataset(name, data=values, track_times=False, **(packed if len(values) > CHUNK_STEPS else {}))
    group.attrs["id"], group.attrs["total_steps"] = np.int64(number), np.int64(len(episode))
    group.attrs["operator"] = episode.operator
    group.attrs["success"], group.attrs["score"] = np.bool_(episode.success), np.float64(episode.score)
    if episode.seed >= 0:
        group.attrs["seed"] = np.int64(episode.seed)


def _metadata(
    name: str, path: Path, about: Mapping[str, Any], *, episodes: int, steps: int, operators: list[str]
) -> str:
    """Minari's metadata, and beside it what a manifest of ours would want to know."""
    schemas: dict[str, VectorSchema] = {"observations": about["observation"], "actions": about["action"]}
    said = {key: about[key] for key in SAID if about.get(key) not in (None, "")}
    content = {
        **said,
        "dataset_id": name,
        "data_format": "hdf5",
        "jpeg_encoding": True,
        "minari_version": LAYOUT_VERSION,
        "total_episodes": episodes,
        "total_steps": steps,
        "dataset_size": round(path.stat().st_size / 1e6, 1),
        "algorithm_name": ", ".join(operators),
        "author": [str(about.get("source") or "unknown")],
        "description": "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in said.items()),
        "observation_space": _box(about["observation"]),
        "action_space": _box(about["action"]),
        "dimension_names": {key: list(schema.names) for key, schema in schemas.items()},
        "dimension_units": {key: [d.unit for d in schema.dimensions] for key, schema in schemas.items()},
    }
    return json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def _box(schema: VectorSchema) -> str:
    """A space in Minari's words; like Minari's it may hold Infinity, which strict JSON does not know."""
    space = {"type": "Box", "dtype": "float32", "shape": [schema.size]}
    return json.dumps({**space, "low": schema.low.tolist(), "high": schema.high.tolist()})
