"""Structural damage to Zarr replay buffers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bad_inputs.damage import Damage, emptied, json_with, key, moved_out, no_json, removed
from benchmarks.bad_inputs.folders import ZARR_ROWS
from benchmarks.bad_inputs.logs import EPISODES
from benchmarks.bad_inputs.rows import (
    FINITE,
    HERE,
    JSON,
    LENGTH,
    LIES,
    LINK,
    MISSING,
    NOTHING,
    ORDER,
    SHAPE,
    TEXT,
    Row,
    at,
    row_of,
)


def _written(name: str, change: Callable[[Any], Any]) -> Damage:
    """Another array in the place of one, written by zarr itself."""

    def damage(path: Path) -> None:
        import zarr

        group = zarr.open_group(str(path), mode="r+")
        values = change(np.asarray(group[name]))
        del group[name]
        group.create_array(name, data=values, chunks=(min(ZARR_ROWS, len(values)), *values.shape[1:]))

    return damage


def _order(ends: Any) -> Any:
    return np.concatenate([ends[:3], ends[[4, 3]], ends[5:]])


def _nan(values: Any) -> Any:
    changed = values.copy()
    changed[row_of(3, 5), 1] = np.nan
    return changed


def _flat(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "shape": [STEPS * 8], "chunks": [ZARR_ROWS * 8]}


ENDS, STATE, HEADER, STEPS = "meta/episode_ends", "data/state", "data/state/.zarray", row_of(EPISODES, 0)
LAST = STEPS // ZARR_ROWS
ZARR: tuple[Row, ...] = (
    (MISSING, "no actions", at("data/action", removed), "buffer.zarr"),
    (MISSING, "no episode ends", at(ENDS, removed), "buffer.zarr"),
    (MISSING, "a chunk of the actions", at("data/action/3.0", removed), "data/action"),
    (MISSING, "the last chunk", at(f"{STATE}/{LAST}.0", removed), STATE),
    (SHAPE, "states are flat", at(HEADER, json_with(_flat)), STATE),
    (LIES, "more rows than there are", at(HEADER, key("shape", to=[STEPS + 500, 8])), STATE),
    (LIES, "a billion rows", at(HEADER, key("shape", to=[10**9, 8])), STATE),
    (LIES, "another type of number", at(HEADER, key("dtype", to="<f8")), STATE),
    (LENGTH, "fewer states than actions", at(HEADER, key("shape", to=[ZARR_ROWS * LAST, 8])), "state|action"),
    (TEXT, "states are words", at(HEADER, key("dtype", to="<U8")), "state|buffer.zarr"),
    (LIES, "a codec that unpickles", at(HEADER, key("compressor", to={"id": "pickle", "protocol": 5})), STATE),
    (JSON, "a header breaks off", at(HEADER, no_json), STATE),
    (JSON, "no header", at(HEADER, removed), "state|buffer.zarr"),
    (JSON, "an empty group", at(".zgroup", emptied), "zgroup|buffer.zarr"),
    (LINK, "a whole array lies elsewhere", at(STATE, moved_out), "state"),
    (ORDER, "ends out of order", _written(ENDS, _order), "episode_ends|episode [345]"),
    (NOTHING, "an end stands twice", _written(ENDS, lambda e: np.insert(e, 3, e[3])), "episode_ends|episode [34]"),
    (LIES, "ends beyond the rows", _written(ENDS, lambda e: np.append(e, e[-1] + 40)), "episode_ends|rows"),
    (LIES, "rows beyond the ends", _written(ENDS, lambda e: e[:-1]), "episode_ends|rows"),
    (FINITE, "NaN in actions", _written("data/action", _nan), HERE),
)
