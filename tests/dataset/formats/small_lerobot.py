"""Two small LeRobotDatasets of the same made-up numbers: v3.0 written by lerobot itself, v2.1 to the published layout.

``files/lerobot_v30.zip`` is what lerobot 0.4.4 (LeRobotDataset.create, add_frame, save_episode, finalize) wrote for
three episodes of 5, 7 and 4 frames of ``value``; nothing in it was changed afterwards. The v2.1 writer follows
lerobot's ``legacy_*`` readers and the Unitree G1 data set, whose video feature it has, too: without the video.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from offline_to_online.dataset.spec import Array

LENGTHS = (5, 7, 4)
STATE, ACTION, REWARD = 0, 1, 2
DATA_V30, META_V30 = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"
ONE = {"shape": [1], "names": None}
FEATURES: dict[str, Any] = {
    "observation.state": {"dtype": "float32", "shape": [3], "names": [["place", "speed", "force"]]},
    "action": {"dtype": "float32", "shape": [2], "names": {"motors": ["push", "grip"]}},
    "next.reward": {"dtype": "float32", **ONE},
    "next.done": {"dtype": "bool", **ONE},
    "observation.images.top": {"dtype": "video", "shape": [48, 64, 3], "names": ["height", "width", "channel"]},
    "timestamp": {"dtype": "float32", **ONE},
    **{name: {"dtype": "int64", **ONE} for name in ("frame_index", "episode_index", "index", "task_index")},
}


def rows(kind: int, episode: int, width: int) -> Array:
    """(T, width) float32, exact in binary."""
    t, d = np.meshgrid(np.arange(LENGTHS[episode]), np.arange(width), indexing="ij")
    return (((kind * 13 + episode * 31 + t * 17 + d * 7) % 64) / 64 - 0.5).astype(np.float32)


def v30(folder: Path) -> Path:
    """The data set that lerobot wrote."""
    with zipfile.ZipFile(Path(__file__).parent / "files" / "lerobot_v30.zip") as archive:
        archive.extractall(folder)
    return folder


def v21(folder: Path) -> Path:
    """The same numbers, a file for each episode."""
    (folder / "meta").mkdir(parents=True)
    (folder / "data/chunk-000").mkdir(parents=True)
    episodes, stats = [], []
    for e, length in enumerate(LENGTHS):
        columns = _columns(e, sum(LENGTHS[:e]))
        pq.write_table(_table(columns), folder / data_v21(e))
        episodes.append({"episode_index": e, "tasks": [_task(e)], "length": length})
        stats.append({"episode_index": e, "stats": {name: _stats(values) for name, values in columns.items()}})
    write_lines(folder / "meta/episodes.jsonl", episodes)
    write_lines(folder / "meta/episodes_stats.jsonl", stats)
    tasks = [{"task_index": 0, "task": "slide it"}, {"task_index": 1, "task": "slide it back"}]
    write_lines(folder / "meta/tasks.jsonl", tasks)
    (folder / "meta/info.json").write_text(json.dumps(_info()))
    return folder


def data_v21(episode: int) -> str:
    """Where the rows of an episode lie."""
    return f"data/chunk-000/episode_{episode:06d}.parquet"


def edit(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the table in a Parquet file."""
    pq.write_table(change(pq.read_table(path)), path)


def put(path: Path, column: str, row: int, value: Any) -> None:
    """Change one cell."""

    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row] = value
        at = table.column_names.index(column)
        return table.set_column(at, column, pa.array(values, type=table[column].type))

    edit(path, change)


def edit_info(root: Path, **changes: Any) -> None:
    """Change fields of ``meta/info.json``; None removes one."""
    path = root / "meta/info.json"
    info = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in info.items() if value is not None}))


def edit_feature(root: Path, name: str, **changes: Any) -> None:
    """Change one entry of the features."""
    features = json.loads((root / "meta/info.json").read_text())["features"]
    edit_info(root, features={**features, name: {**features.get(name, {}), **changes}})


def read_lines(path: Path) -> list[dict[str, Any]]:
    """A file of one JSON object a line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_lines(path: Path, objects: list[dict[str, Any]]) -> None:
    """The same, back."""
    path.write_text("".join(json.dumps(entry) + "\n" for entry in objects))


def _task(episode: int) -> str:
    return "slide it" if episode < 2 else "slide it back"


def _columns(episode: int, start: int) -> dict[str, Array]:
    steps = np.arange(LENGTHS[episode])
    return {
        "observation.state": rows(STATE, episode, 3),
        "action": rows(ACTION, episode, 2),
        "next.reward": rows(REWARD, episode, 1)[:, 0],
        "next.done": steps == len(steps) - 1,
        "timestamp": (steps / 10).astype(np.float32),
        "frame_index": steps,
        "episode_index": np.full(len(steps), episode),
        "index": steps + start,
        "task_index": np.full(len(steps), int(episode == 2)),
    }


def _table(columns: dict[str, Array]) -> pa.Table:
    return pa.table(
        {
            name: pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
            if values.ndim == 2
            else pa.array(values)
            for name, values in columns.items()
        }
    )


def _stats(values: Array) -> dict[str, Any]:
    flat = values.reshape(len(values), -1)
    kinds = {"min": flat.min(axis=0), "max": flat.max(axis=0), "mean": flat.mean(axis=0), "std": flat.std(axis=0)}
    return {**{kind: array.tolist() for kind, array in kinds.items()}, "count": [len(values)]}


def _info() -> dict[str, Any]:
    return {
        "codebase_version": "v2.1",
        "robot_type": "slider",
        "total_episodes": len(LENGTHS),
        "total_frames": sum(LENGTHS),
        "total_tasks": 2,
        "total_videos": len(LENGTHS),
        "total_chunks": 1,
        "chunks_size": 1000,
        "fps": 10,
        "splits": {"train": "0:3"},
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        "features": FEATURES,
    }
