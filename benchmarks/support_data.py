"""The logs that the support benchmarks measure on: Fetch recorded here, three real ones, and the pendulum to choose on.

Two more confirm what was found, or do not: nobody looked at them while the score was designed.

Real files are read where they lie, beside the checkout (``../shared/data``, or ``SUPPORT_DATA``), through the project's
own formats; nothing of them is copied.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from offline_to_online.dataset.assembly import assemble, implied_layout
from offline_to_online.dataset.detection import format_of
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import ActionSchema, Array, Dimension, ObservationSchema
from offline_to_online.errors import DataError
from offline_to_online.params import load_params
from offline_to_online.plugins import module_for
from offline_to_online.robots._recording import record_log

HERE = Path(__file__).resolve().parents[1]
FILES = {
    "door": ("d4rl/adroit_door_human.hdf5", "adroit_door"),
    "pusht": ("d4rl/pusht_human.hdf5", "pusht"),
    "nao": ("d4rl/nao_push_ball_real.hdf5", None),
    "pendulum": ("d4rl/pendulum_expert.hdf5", None),
    "unitree": ("formats/lerobot_v21_unitree_g1", None),
    "maze": ("formats/d4rl_generator/maze2d-umaze-v1.hdf5", None),
}
DATA_SETS = ("fetch", "door", "pusht", "nao")
CHOSEN_ON = "pendulum"
UNTOUCHED = ("unitree", "maze")
BOUNDS = {"nao": (-1.0, 1.0), "pendulum": (-2.0, 2.0)}
RECORDING_SEED = 7


@dataclass(frozen=True, kw_only=True)
class Log:
    """Episodes, their actions inside the bounds, and the robot's module (without regions where it has no plug-in)."""

    name: str
    episodes: tuple[Episode, ...]
    module: Any

    @property
    def low(self) -> Array:
        """(A,), the lowest command."""
        return np.asarray(self.module.SPEC.action.low)

    @property
    def high(self) -> Array:
        """(A,), the highest command."""
        return np.asarray(self.module.SPEC.action.high)


def load(name: str, *, jobs: int = 2) -> Log:
    """A log by name; Fetch is recorded anew by the stage's own operators, in about a minute.

    Raises:
        DataError: a real file is not there.
    """
    if name == "fetch":
        fetch = module_for("robots", "fetch_pick_and_place")
        recorded = record_log(fetch, load_params(HERE / "params.yaml").collect.operators, RECORDING_SEED, jobs=jobs)
        return Log(name=name, episodes=tuple(recorded), module=fetch)
    file, robot = FILES[name]
    path = folder() / file
    if not path.exists():
        raise DataError(
            "no such data set", where=str(path), remedy="set SUPPORT_DATA to the folder that holds d4rl/ and formats/"
        )
    reader = format_of(path, None)
    layout = implied_layout(reader.describe(path), terminals=False)
    logged = reader.read(path, sensors=layout.sensors, extra=())
    # The maze has episodes of one step, of which what came next was never logged: nothing is left of those.
    rows = [assemble(one, layout) for one in logged if len(one.actions) > 1]
    module: Any = module_for("robots", robot) if robot else unnamed(name, rows)
    return Log(name=name, episodes=tuple(inside(rows, module.SPEC.action)), module=module)


def folder() -> Path:
    """Where the real data sets lie."""
    return Path(os.environ.get("SUPPORT_DATA", str(HERE.parent / "shared" / "data")))


def inside(episodes: Sequence[Episode], schema: ActionSchema) -> list[Episode]:
    """The episodes as the robot executed them: actions brought inside the bounds."""
    return [dataclasses.replace(one, actions=schema.clip(one.actions)) for one in episodes]


def unnamed(name: str, episodes: Sequence[Episode]) -> SimpleNamespace:
    """A robot that is known by its sizes and its bounds; where none are known, they are what was commanded."""
    sizes = episodes[0].observations.shape[1], episodes[0].actions.shape[1]
    commanded = np.concatenate([one.actions for one in episodes])
    low, high = BOUNDS.get(name, (commanded.min(axis=0), commanded.max(axis=0)))
    bounds = np.broadcast_to(low, sizes[1]), np.broadcast_to(high, sizes[1])
    sensors = tuple(Dimension(name=f"o{i}", unit="1", low=-1e9, high=1e9) for i in range(sizes[0]))
    commands = tuple(
        Dimension(name=f"a{i}", unit="1", low=float(a), high=float(b))
        for i, (a, b) in enumerate(zip(*bounds, strict=True))
    )
    spec = SimpleNamespace(
        observation=ObservationSchema(dimensions=sensors),
        action=ActionSchema(dimensions=commands, out_of_bounds="clip"),
    )
    return SimpleNamespace(SPEC=spec, regions=lambda observations, actions: {})
