"""The columns that an Episode makes in a LeRobotDataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

# One number or text a step: the feature and its element type in numpy's words.
STEPS = {
    "next.reward": "float32",
    "next.done": "bool",
    "next.terminated": "bool",
    "next.truncated": "bool",
    "next.success": "bool",
    "complementary_info.cost": "float32",
    "complementary_info.is_intervention": "bool",
    "complementary_info.seed": "int64",
    "complementary_info.score": "float64",
    "operator": "string",
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


def require(episode: Episode, columns: Mapping[str, Array], widths: Mapping[str, int], *, where: str) -> None:
    """Refuse what no data set may hold.

    Args:
        episode: whose lengths must belong together.
        columns: as ``columns_of`` makes them.
        widths: of the columns that are vectors.

    Raises:
        DataError: a shape is not the schema's, or a number is not finite.
    """
    steps = len(episode)
    if steps < 1 or len(episode.observations) != steps + 1:
        found = f"{steps} actions and {len(episode.observations)} observations"
        raise DataError(found, where=where, limit="T actions and T+1 observations, T from 1", remedy="leave it out")
    for name, values in columns.items():
        shape: tuple[int, ...] = (steps, widths[name]) if name in widths else (steps,)
        if values.shape != shape:
            remedy = "mend the manifest or the data"
            raise DataError(f"{name} has the shape {values.shape}", where=where, limit=str(shape), remedy=remedy)
        odd = np.argwhere(~np.isfinite(values)).tolist() if values.dtype.kind == "f" else []
        if odd:
            found = f"{name} is {values[tuple(odd[0])]}"
            raise DataError(found, where=f"{where}, step {odd[0][0]}", limit="a finite number", remedy="mend the data")


def columns_of(episode: Episode, index: int, start: int, rate_hz: float) -> dict[str, Array]:
    """The columns of an episode in the order of its features, each (T,) or (T, width)."""
    steps = len(episode)
    last = np.arange(steps) == steps - 1
    frames = np.arange(steps, dtype=np.int64)
    values = {
        "observation.state": np.asarray(episode.observations[:-1], dtype=np.float32),
        "action": np.asarray(episode.actions, dtype=np.float32),
        "next.observation.state": np.asarray(episode.observations[1:], dtype=np.float32),
        "next.reward": np.asarray(episode.rewards),
        "next.done": last & (episode.terminated or episode.truncated),
        "next.terminated": last & episode.terminated,
        "next.truncated": last & episode.truncated,
        "next.success": last & episode.success,
        "complementary_info.cost": np.asarray(episode.cost),
        "complementary_info.is_intervention": np.asarray(episode.intervened),
        "complementary_info.seed": np.full(steps, episode.seed),
        "complementary_info.score": np.full(steps, episode.score),
        "operator": np.full(steps, episode.operator),
        "timestamp": frames / rate_hz,
        "frame_index": frames,
        "episode_index": np.full(steps, index),
        "index": frames + start,
        "task_index": np.zeros(steps, dtype=np.int64),
    }
    return {n: v if STEPS.get(n, "string") == "string" else v.astype(STEPS[n]) for n, v in values.items()}


def table_of(columns: Mapping[str, Array]) -> Any:
    """A vector is a list of fixed length; one of a single number is a plain column, as lerobot expects it."""
    import pyarrow as pa

    def column(values: Array) -> Any:
        if values.dtype.kind == "U":
            return pa.array(values.tolist(), type=pa.string())
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        wide = values.ndim == 2 and values.shape[1] > 1
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1]) if wide else flat

    return pa.table({name: column(values) for name, values in columns.items()})
