"""Seconds and peak memory of an import, by size, beside a bare read of the same file with hashing.

python -m benchmarks.import_speed [--quick]

Made-up logs of 39 + 28 dimensions in episodes of 200 steps, D4RL-layout HDF5 without compression. The import is the
real ``validate``: hashes, format, assembly, every check, Pandera, Great Expectations, the split, and the Parquet store.
``bare`` reads every data set with h5py a block at a time and hashes the file (SHA-256), as any importer that vouches
for anything has to. Every size runs in processes of its own; memory is the peak of the process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

from benchmarks.results_file import claim, commit, save
from offline_to_online.dataset.files import file_sha256
from offline_to_online.dataset.spec import Array

SIZES, QUICK = (100_000, 1_000_000, 5_000_000), (20_000, 100_000, 200_000)
LENGTH, OBSERVATIONS, ACTIONS, SEED = 200, 39, 28, 11
TOGETHER = 250  # episodes that are made at a time
COLUMNS = {"observations": OBSERVATIONS, "actions": ACTIONS, "rewards": 0, "terminals": 0, "timeouts": 0}
BARE = """
import hashlib, h5py, sys
with h5py.File(sys.argv[1]) as file:
    for data in (file[name] for name in file):
        for start in range(0, len(data), 16_384):
            data[start : start + 16_384]
with open(sys.argv[1], "rb") as stream:
    print(hashlib.file_digest(stream, "sha256").hexdigest())
"""
NARROW, MEMORY = 1.25, 1.25  # largest over the size before it: seconds a step, and peak memory


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every size, print the table, write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.import_speed", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} transitions instead of {SIZES}")
    quick = parser.parse_args(arguments).quick
    sizes, at = QUICK if quick else SIZES, commit()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(Path(folder), size) for size in sizes]
    print_table(rows)
    path = save("import_speed_quick" if quick else "import_speed", seeds=[SEED], rows=rows, claims=claims(rows), at=at)
    print(path)


def measure(folder: Path, steps: int) -> dict[str, Any]:
    """One size: the bare read, and the import, each in a process of its own."""
    log, manifest, out = folder / "log.hdf5", folder / "log.yaml", folder / "episodes"
    write_log(log, steps)
    manifest.write_text(yaml.safe_dump(describe(log)), encoding="utf-8")
    bare_s, bare_mib = timed([sys.executable, "-c", BARE, str(log)])
    command = [sys.executable, "-m", "offline_to_online.dataset", "validate", str(log)]
    import_s, import_mib = timed([*command, "--manifest", str(manifest), "--to", str(out)])
    row = {
        "transitions": steps,
        "file_mib": log.stat().st_size / 2**20,
        "bare_s": bare_s,
        "bare_mib": bare_mib,
        "import_s": import_s,
        "import_mib": import_mib,
        "ratio": import_s / bare_s,
        "import_us_a_step": 1e6 * import_s / steps,
    }
    for path in (*out.iterdir(), log, manifest):
        path.unlink()
    out.rmdir()
    return row


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds and peak resident memory (MiB) of one process."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return seconds, usage.ru_maxrss / 1024


def write_log(path: Path, steps: int) -> None:
    """Episodes in which the actions drive the observations, written a few hundred at a time."""
    rng = np.random.default_rng(SEED)
    response = rng.normal(size=(ACTIONS, OBSERVATIONS)) / np.sqrt(ACTIONS)
    with h5py.File(path, "w") as file:
        for name, width in COLUMNS.items():
            file.create_dataset(
                name, (steps, width) if width else (steps,), dtype="f4" if width or name == "rewards" else "?"
            )
        for start in range(0, steps, TOGETHER * LENGTH):
            for name, values in made(rng, response, min(TOGETHER, (steps - start) // LENGTH)).items():
                file[name][start : start + len(values)] = values


def made(rng: np.random.Generator, response: Array, episodes: int) -> dict[str, Array]:
    """Columns of some episodes: smooth actions, observations that follow them, a reward of both."""
    actions = np.empty((episodes, LENGTH, ACTIONS), dtype=np.float32)
    observations = np.empty((episodes, LENGTH, OBSERVATIONS), dtype=np.float32)
    action, observation = rng.normal(size=(episodes, ACTIONS)), rng.normal(size=(episodes, OBSERVATIONS))
    for step in range(LENGTH):
        actions[:, step] = np.tanh(action)
        observations[:, step] = observation
        observation = 0.98 * observation + 0.1 * np.tanh(action) @ response + 0.01 * rng.normal(size=observation.shape)
        action = 0.9 * action + 0.3 * rng.normal(size=action.shape)
    rows = episodes * LENGTH
    return {
        "observations": observations.reshape(rows, OBSERVATIONS),
        "actions": actions.reshape(rows, ACTIONS),
        "rewards": -np.abs(observations).mean(axis=2).reshape(rows),
        "terminals": np.zeros(rows, dtype=bool),
        "timeouts": np.arange(rows) % LENGTH == LENGTH - 1,
    }


def describe(log: Path) -> dict[str, Any]:
    """The log's manifest."""
    return {
        "name": "made_up",
        "robot": "nobody",
        "robot_body": "made up",
        "sensors": ["made up"],
        "action_schema": {"kind": "vector", "out_of_bounds": "refuse", "dimensions": dimensions("a", ACTIONS, 1)},
        "observation_schema": {"dimensions": dimensions("o", OBSERVATIONS, 10)},
        "control_rate_hz": 20,
        "operators": ["script"],
        "split": {"train": 0.7, "calibration": 0.2, "heldout": 0.1, "stratify": "none"},
        "reset_distribution": "normal",
        "episode_horizon": LENGTH,
        "reward_source": "file",
        "licence": "none needed",
        "source": "benchmarks.import_speed",
        "hashes": {log.name: file_sha256(log)},
    }


def dimensions(prefix: str, count: int, bound: float) -> list[dict[str, Any]]:
    """Rows of a schema."""
    return [{"name": f"{prefix}{i}", "unit": "1", "low": -bound, "high": bound} for i in range(count)]


def claims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Linear time and flat memory: the largest size against the one before it."""
    before, largest = rows[-2:]
    slower = largest["import_us_a_step"] / before["import_us_a_step"]
    bigger = largest["import_mib"] / before["import_mib"]
    sizes = f"{largest['transitions']:,} against {before['transitions']:,} transitions"
    return [
        claim(f"time is linear: seconds a step, {sizes}", slower, NARROW, slower <= NARROW),
        claim(f"memory is flat: peak, {sizes}", bigger, MEMORY, bigger <= MEMORY),
    ]


def print_table(rows: list[dict[str, Any]]) -> None:
    """A line a size."""
    heads = ("transitions", 12), ("file MiB", 9), ("bare s", 8), ("MiB", 6), ("import s", 9), ("MiB", 6)
    print(" ".join(f"{head:>{width}}" for head, width in (*heads, ("us/step", 8), ("ratio", 6))))
    for row in rows:
        print(
            f"{row['transitions']:>12,} {row['file_mib']:>9.0f} {row['bare_s']:>8.2f} {row['bare_mib']:>6.0f} "
            f"{row['import_s']:>9.2f} {row['import_mib']:>6.0f} {row['import_us_a_step']:>8.1f} {row['ratio']:>6.1f}"
        )


if __name__ == "__main__":
    main()
