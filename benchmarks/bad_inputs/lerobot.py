"""Logs as LeRobotDatasets, by the layouts that lerobot's documentation publishes for v2.1 and v3.0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.bad_inputs.logs import Log, Recording
from offline_to_online.dataset.spec import Array

TASK = "slide to the goal"
V21_DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
V30_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
FILES = 3
"""Data files of a v3.0 data set: enough that one can go missing in the middle."""


def v21(log: Log, folder: Path) -> Path:
    """``lerobot21``: a Parquet file for each episode, metadata in JSON lines."""
    root = folder / "lerobot21"
    start = 0
    lines, stats = list[Any](), list[Any]()
    for index, recording in enumerate(log.recordings):
        table = frames(log, recording, index, start)
        _write(root / V21_DATA.format(episode_chunk=0, episode_index=index), table)
        start += len(recording)
        lines.append({"episode_index": index, "tasks": [TASK], "length": len(recording)})
        stats.append({"episode_index": index, "stats": _stats([recording])})
    info = {"total_videos": 0, "total_chunks": 1, "data_path": V21_DATA}
    _write_info(log, root, {"codebase_version": "v2.1", **info})
    _write_lines(root / "meta/episodes.jsonl", lines)
    _write_lines(root / "meta/episodes_stats.jsonl", stats)
    _write_lines(root / "meta/tasks.jsonl", [{"task_index": 0, "task": TASK}])
    return root


def v30(log: Log, folder: Path) -> Path:
    """``lerobot30``: episodes share Parquet files, and so does their metadata."""
    root = folder / "lerobot30"
    start, rows = 0, list[dict[str, Any]]()
    for file, numbers in enumerate(np.array_split(np.arange(len(log.recordings)), FILES)):
        tables = list[Any]()
        for index in numbers:
            recording = log.recordings[index]
            tables.append(frames(log, recording, int(index), start))
            rows.append(_row(int(index), start, len(recording), file))
            start += len(recording)
        _write(root / V30_DATA.format(chunk_index=0, file_index=file), pa.concat_tables(tables))
    info = {"data_files_size_in_mb": 100, "video_files_size_in_mb": 500, "data_path": V30_DATA}
    _write_info(log, root, {"codebase_version": "v3.0", **info})
    _write(root / "meta/episodes/chunk-000/file-000.parquet", pa.Table.from_pylist(rows))
    tasks = pa.table({"task_index": pa.array([0]), "__index_level_0__": pa.array([TASK])})
    _write(root / "meta/tasks.parquet", tasks)
    (root / "meta/stats.json").write_text(json.dumps(_stats(log.recordings)), encoding="utf-8")
    return root


def frames(log: Log, recording: Recording, index: int, start: int) -> Any:
    """One episode as its table, the rows numbered from ``start``."""
    steps = len(recording)
    return pa.table(
        {
            "observation.state": _vectors(recording.observations[:-1]),
            "action": _vectors(recording.actions),
            "next.reward": pa.array(recording.rewards.astype(np.float32)),
            "next.done": pa.array(recording.terminals | recording.timeouts),
            "next.truncated": pa.array(recording.timeouts),
            "next.success": pa.array(recording.successes),
            "timestamp": pa.array(recording.times[:-1].astype(np.float32)),
            "frame_index": pa.array(np.arange(steps)),
            "episode_index": pa.array(np.full(steps, index)),
            "index": pa.array(np.arange(start, start + steps)),
            "task_index": pa.array(np.zeros(steps, dtype=np.int64)),
        }
    )


def _write_info(log: Log, root: Path, more: dict[str, Any]) -> None:
    scalars = dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64")
    scalars |= {"next.reward": "float32", "timestamp": "float32"}
    scalars |= dict.fromkeys(("next.done", "next.truncated", "next.success"), "bool")
    vectors = {"observation.state": list(log.observation), "action": list(log.action)}
    features: dict[str, Any] = {
        **{name: {"dtype": "float32", "shape": [len(names)], "names": names} for name, names in vectors.items()},
        **{name: {"dtype": dtype, "shape": [1], "names": None} for name, dtype in scalars.items()},
    }
    info = {
        "robot_type": "slider",
        "total_episodes": len(log.recordings),
        "total_frames": sum(len(r) for r in log.recordings),
        "total_tasks": 1,
        "chunks_size": 1000,
        "fps": int(log.rate_hz),
        "splits": {"train": f"0:{len(log.recordings)}"},
        "video_path": None,
        "features": features,
        **more,
    }
    (root / "meta").mkdir(parents=True, exist_ok=True)
    (root / "meta/info.json").write_text(json.dumps(info, indent=4), encoding="utf-8")


def _row(index: int, start: int, steps: int, file: int) -> dict[str, Any]:
    return {
        "episode_index": index,
        "tasks": [TASK],
        "length": steps,
        "data/chunk_index": 0,
        "data/file_index": file,
        "dataset_from_index": start,
        "dataset_to_index": start + steps,
        "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0,
    }


def _stats(recordings: Any) -> dict[str, Any]:
    parts = {
        "observation.state": np.concatenate([r.observations[:-1] for r in recordings]),
        "action": np.concatenate([r.actions for r in recordings]),
    }
    return {
        name: {
            "min": values.min(axis=0).tolist(),
            "max": values.max(axis=0).tolist(),
            "mean": values.mean(axis=0).tolist(),
            "std": values.std(axis=0).tolist(),
            "count": [len(values)],
        }
        for name, values in parts.items()
    }


def _vectors(rows: Array) -> Any:
    flat = pa.array(np.ascontiguousarray(rows, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])


def _write(path: Path, table: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _write_lines(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
