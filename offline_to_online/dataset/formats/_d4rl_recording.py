"""How collect's own D4RL-layout files are laid out, byte for byte the same for the same episodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

CHUNK_STEPS = 1024


def write_file(path: Path, episodes: list[Episode], attributes: Mapping[str, str], *, where: str) -> None:
    """Write episodes as D4RL-layout HDF5 to a new file, with the attributes at its root.

    Raises:
        DataError: there are no episodes.
    """
    if not episodes:
        raise DataError("no episodes to write", where=where, limit="at least 1", remedy="record some")
    last = [np.arange(len(e)) == len(e) - 1 for e in episodes]
    columns: dict[str, list[Array]] = {
        "observations": [e.observations[:-1] for e in episodes],
        "next_observations": [e.observations[1:] for e in episodes],
        "actions": [e.actions for e in episodes],
        "rewards": [e.rewards for e in episodes],
        "infos/cost": [e.cost for e in episodes],
        "terminals": [end & e.terminated for end, e in zip(last, episodes, strict=True)],
        "timeouts": [end & (e.truncated or not e.terminated) for end, e in zip(last, episodes, strict=True)],
        "infos/intervened": [e.intervened for e in episodes],
    }
    # Neither times nor insertion order enter the file: the same episodes give the same bytes.
    with h5py.File(path, "w", libver=("earliest", "v110"), track_order=False) as file:
        for name, pieces in columns.items():
            dtype = np.bool_ if pieces[0].dtype == np.bool_ else np.float32
            _add(file, name, np.concatenate(pieces).astype(dtype))
        _add(file, "episodes/ends", np.cumsum([len(e) for e in episodes]).astype(np.int64))
        _add(file, "episodes/operator", np.array([e.operator.encode() for e in episodes]))
        _add(file, "episodes/seed", np.array([e.seed for e in episodes], dtype=np.int64))
        _add(file, "episodes/success", np.array([e.success for e in episodes], dtype=np.bool_))
        _add(file, "episodes/score", np.array([e.score for e in episodes], dtype=np.float64))
        for name, value in sorted(attributes.items()):
            file.attrs[name] = value


def _add(file: Any, name: str, values: Array) -> None:
    chunks = (min(len(values), CHUNK_STEPS), *values.shape[1:])
    file.create_dataset(name, data=values, chunks=chunks, compression="gzip", compression_opts=4, track_times=False)
