"""Logs as folders: Minari's Arrow storage, Zarr replay buffers, and this project's own store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.bad_inputs.hdf5_files import minari_columns, write_minari_metadata
from benchmarks.bad_inputs.logs import Log, Recording
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.dataset.store import write_episodes

ZARR_ROWS = 161
"""Rows of a chunk, as in Diffusion Policy's PushT."""


def minari_arrow(log: Log, folder: Path) -> Path:
    """``minari/data/N/part-0.arrow``: T+1 rows, the last of them padding for all that comes before a step."""
    root = folder / "minari"
    for index, recording in enumerate(log.recordings):
        place = root / "data" / str(index)
        place.mkdir(parents=True)
        batch = arrow_batch(recording)
        with pa.OSFile(str(place / "part-0.arrow"), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        facts = {"id": index, "total_steps": len(recording), "seed": recording.seed}
        (place / "metadata.json").write_text(json.dumps(facts), encoding="utf-8")
    write_minari_metadata(log, root / "data", storage="arrow")
    return root


def arrow_batch(recording: Recording) -> Any:
    """One episode as Minari's record batch."""
    columns = minari_columns(recording)
    padded = {
        name: values if name == "observations" else np.concatenate([values, np.zeros_like(values[:1])])
        for name, values in columns.items()
    }
    success = pa.array(np.append(recording.successes, recording.successes[-1]))
    return pa.RecordBatch.from_pydict(
        {
            **{name: _column(values) for name, values in padded.items()},
            "infos": pa.StructArray.from_arrays([success], names=["success"]),
        }
    )


def zarr_buffer(log: Log, folder: Path) -> Path:
    """``buffer.zarr``: states and actions of all episodes one after the other, and where each ends."""
    import zarr

    root = folder / "buffer.zarr"
    group = zarr.open_group(str(root), mode="w", zarr_format=2)
    columns = {
        "data/state": np.concatenate([r.observations[:-1] for r in log.recordings]),
        "data/action": np.concatenate([r.actions for r in log.recordings]),
        "meta/episode_ends": np.cumsum([len(r) for r in log.recordings]),
    }
    for name, values in columns.items():
        group.create_array(name, data=values, chunks=(min(ZARR_ROWS, len(values)), *values.shape[1:]))
    return root


def store(log: Log, folder: Path) -> Path:
    """``store/transitions.parquet`` and ``episodes.parquet``, as ``validate`` writes them."""
    root = folder / "store"
    root.mkdir()
    write_episodes(root, [_episode(recording) for recording in log.recordings])
    return root


def _episode(recording: Recording) -> Episode:
    return Episode(
        observations=recording.observations.astype(np.float32),
        actions=recording.actions.astype(np.float32),
        rewards=recording.rewards.astype(np.float32),
        cost=np.zeros(len(recording), dtype=np.float32),
        intervened=np.zeros(len(recording), dtype=np.bool_),
        terminated=bool(recording.terminals[-1]),
        truncated=bool(recording.timeouts[-1]) or not recording.terminals[-1],
        operator=recording.operator,
        seed=recording.seed,
        success=bool(recording.successes[-1]),
        score=float(recording.successes[-1]),
    )


def _column(values: Array) -> Any:
    if values.ndim == 1:
        return pa.array(values)
    kind = pa.list_(pa.from_numpy_dtype(values.dtype), values.shape[1])
    return pa.FixedSizeListArray.from_arrays(values.reshape(-1), type=kind)
