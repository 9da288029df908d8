"""Logs as HDF5 files, by the published layouts of D4RL, Minari, robomimic and robosuite. Each gives the path to import.

D4RL: Fu et al., 2020. Minari: https://minari.farama.org (0.5.4, HDF5 storage). robomimic: "Dataset Structure" of its
documentation. robosuite: its ``scripts/collect_human_demonstrations.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.bad_inputs.logs import Log, Recording
from offline_to_online.dataset.spec import Array


def d4rl(log: Log, folder: Path) -> Path:
    """``d4rl.hdf5``: one row a step, ends in terminals and timeouts."""
    path = folder / "d4rl.hdf5"
    rows = log.recordings
    columns = {
        "observations": [r.observations[:-1] for r in rows],
        "actions": [r.actions for r in rows],
        "rewards": [r.rewards for r in rows],
        "terminals": [r.terminals for r in rows],
        "timeouts": [r.timeouts for r in rows],
        "infos/success": [r.successes for r in rows],
    }
    if log.follows:
        columns["next_observations"] = [r.observations[1:] for r in rows]
    if log.timed:
        columns["infos/time"] = [r.times[:-1] for r in rows]
    with h5py.File(path, "w") as file:
        for name, pieces in columns.items():
            file[name] = np.concatenate(pieces)
        if log.tabled:
            file["episodes/operator"] = np.array([r.operator.encode() for r in rows])
            file["episodes/seed"] = np.array([r.seed for r in rows], dtype=np.int64)
        file.attrs["observation_names"] = json.dumps(list(log.observation))
        file.attrs["action_names"] = json.dumps(list(log.action))
    return path


def minari(log: Log, folder: Path) -> Path:
    """``minari/data/main_data.hdf5`` and its metadata."""
    root = folder / "minari"
    (root / "data").mkdir(parents=True)
    with h5py.File(root / "data/main_data.hdf5", "w") as file:
        for index, recording in enumerate(log.recordings):
            group = file.create_group(f"episode_{index}")
            group.attrs.update({"id": index, "total_steps": len(recording), "seed": recording.seed})
            for name, values in minari_columns(recording).items():
                group[name] = values
            group["infos/success"] = np.append(recording.successes, recording.successes[-1])
    write_minari_metadata(log, root / "data", storage="hdf5")
    return root


def minari_columns(recording: Recording) -> dict[str, Array]:
    """T+1 observations and T of all else."""
    return {
        "observations": recording.observations.astype(np.float64),
        "actions": recording.actions,
        "rewards": recording.rewards.astype(np.float64),
        "terminations": recording.terminals,
        "truncations": recording.timeouts,
    }


def write_minari_metadata(log: Log, data: Path, *, storage: str) -> None:
    """``metadata.json`` with the spaces and counts."""
    low, high = log.bounds
    sides = {"observation": len(log.observation), "action": len(log.action)}
    spaces = {
        "observation_space": {
            "type": "Box",
            "dtype": "float64",
            "shape": [sides["observation"]],
            "low": [float("-inf")] * sides["observation"],
            "high": [float("inf")] * sides["observation"],
        },
        "action_space": {
            "type": "Box",
            "dtype": "float32",
            "shape": [sides["action"]],
            "low": [low] * sides["action"],
            "high": [high] * sides["action"],
        },
    }
    content = {
        "total_episodes": len(log.recordings),
        "total_steps": sum(len(r) for r in log.recordings),
        "data_format": storage,
        **{name: json.dumps(space) for name, space in spaces.items()},
        "dataset_id": f"made/{storage}-v0",
        "author": ["benchmarks.bad_inputs"],
        "algorithm_name": "scripted",
        "minari_version": "0.5.4",
    }
    (data / "metadata.json").write_text(json.dumps(content), encoding="utf-8")


def robomimic(log: Log, folder: Path) -> Path:
    """``robomimic.hdf5``: a group for each demonstration, with ``obs`` and ``next_obs``."""
    path = folder / "robomimic.hdf5"
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(len(r) for r in log.recordings)
        settings = {"env_name": "Slide", "type": 1, "env_kwargs": {"control_freq": log.rate_hz, "robots": "Panda"}}
        data.attrs["env_args"] = json.dumps(settings)
        for index, recording in enumerate(log.recordings):
            group = data.create_group(f"demo_{index}")
            group.attrs["num_samples"] = len(recording)
            _write_demo(group, recording, follows=log.follows)
        names = np.array([f"demo_{i}".encode() for i in range(len(log.recordings))])
        file["mask/train"], file["mask/valid"] = names[2:], names[:2]
    return path


def _write_demo(group: Any, recording: Recording, *, follows: bool) -> None:
    group["actions"] = recording.actions
    group["rewards"] = recording.rewards.astype(np.float64)
    group["dones"] = recording.terminals.astype(np.int64)
    half = recording.observations.shape[1] // 2
    for name, part in (("object", slice(half, None)), ("robot0_eef_pos", slice(0, half))):
        group[f"obs/{name}"] = recording.observations[:-1, part].astype(np.float64)
        if follows:
            group[f"next_obs/{name}"] = recording.observations[1:, part].astype(np.float64)


def robosuite(log: Log, folder: Path) -> Path:
    """``robosuite.hdf5``: flattened [time, position, velocity] and actions, nothing else."""
    path = folder / "robosuite.hdf5"
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        info = {"env_name": "Slide", "robots": "Panda", "control_freq": log.rate_hz}
        data.attrs.update({"env": "Slide", "repository_version": "1.4.0", "date": "9-4-2020", "time": "13:47:11"})
        data.attrs["env_info"] = json.dumps(info)
        for index, recording in enumerate(log.recordings, start=1):
            group = data.create_group(f"demo_{index}")
            group.attrs["model_file"] = f"model_{index}.xml"
            group["states"] = np.column_stack([recording.times[:-1], recording.observations[:-1]]).astype(np.float64)
            group["actions"] = recording.actions.astype(np.float64)
    return path
