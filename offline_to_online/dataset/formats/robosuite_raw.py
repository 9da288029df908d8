"""robosuite's own demonstrations: one HDF5 file, ``data/demo_1/{states,actions}``, simulator states, no observations.

A row of ``states`` is MuJoCo's flattened state before the action of that row: [time, qpos, qvel], and what later
versions append. It is the one sensor. Its first number, seconds of simulation, is the time, and no part of the
default observation ``states[1:]``: a policy would tell the step by the clock, which knows nothing of the scene. The
recorder takes states after each action and drops the first action (or, in later versions, begins with the initial
state) and the last state, so that row t is the state that action t was applied to. In the files of robosuite 1.0.0
the fingers first move between the row of the gripper's command and the next, which confirms it. The state after the
last action is not logged, nor are rewards and ends.

``joint_torques`` and other arrays a step were measured while the action was executed: an observation made of them would
know the action already. They are handed out as extra, never as a sensor. Arrays of width zero are left out.

Layout: robosuite documentation, "Human Demonstrations", and ``scripts/collect_human_demonstrations.py``
(https://robosuite.ai/docs/algorithms/demonstrations.html); Zhu et al., 2020, arXiv:2009.12293.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from offline_to_online.dataset.formats._hdf5 import attribute, opened
from offline_to_online.dataset.formats._hdf5_demos import (
    Demonstration,
    data_group,
    demonstrations,
    left_out,
    missing_numbers,
    names_in,
    rate_in,
    require_samples,
    require_total,
    require_widths,
    vector_of,
)
from offline_to_online.dataset.formats._hdf5_groups import is_vector, json_in, require_rows
from offline_to_online.dataset.logged import Contents, LeftOut, LoggedEpisode
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

OBSERVATION = "states[1:]"  # all but the clock
PLAIN = 100  # characters: a longer model_file is the XML itself, not its name
FACTS = ("env", "repository_version", "date", "time")
POSTPROCESSED = {"obs", "next_obs", "rewards", "dones"}  # what robomimic adds to such a file


def recognises(path: Path) -> bool:
    """Whether it is an HDF5 file of demonstrations with simulator states, and without observations or rewards."""
    names = names_in(path)
    return "states" in names and not names & POSTPROCESSED


def describe(path: Path) -> Contents:
    """What the file holds; steps are the rows of ``actions`` as they stand.

    Raises:
        DataError: the file is damaged or no such file, a demonstration has no actions or no states, lengths disagree,
            or something lies outside the file.
    """
    with opened(path) as file:
        data = data_group(file, path)
        info = json_in(data, "env_info", path)
        steps = {demo.name: demo.rows for demo in _whole(data, path)}
        require_total(data, sum(steps.values()), path)
        first = next(demonstrations(data, path))
        return Contents(
            format="robosuite_raw",
            sensors=(vector_of("states", first.entries["states"]),),
            observation=(OBSERVATION,),
            actions=vector_of("actions", first.entries["actions"]),
            rewards=False,
            ends=False,
            times=True,
            final_observation=False,
            episodes=len(steps),
            steps=sum(steps.values()),
            control_rate_hz=rate_in(info),
            left_out=tuple(_left_out(first)),
            findings=missing_numbers(list(steps), path),
            facts={name: str(value) for name in FACTS if (value := attribute(data, name, path)) is not None}
            | {f"env_info/{key}": str(value) for key, value in info.items() if isinstance(value, str | int | float)},
        )


def read(path: Path, *, sensors: Sequence[str] | None = None, extra: bool = False) -> Iterator[LoggedEpisode]:
    """Demonstrations by number, one in memory at a time, with the values as they stand in the file.

    Raises:
        DataError: as ``describe``, or values cannot be read.
    """
    with opened(path) as file:
        for demo in _whole(data_group(file, path), path):
            states = demo.vector(demo.entries["states"])
            yield LoggedEpisode(
                where=demo.where,
                sensors={"states": states} if sensors is None or "states" in sensors else {},
                actions=demo.vector(demo.entries["actions"]),
                times=states[:, 0],
                extra=_extra(demo) if extra else {},
            )


def _whole(data: Any, path: Path) -> Iterator[Demonstration]:
    """Every demonstration, with states and actions of one length, and as wide as in the first."""
    widths: dict[str, int] = {}
    for demo in demonstrations(data, path):
        require_samples(demo)
        states = demo.entries.get("states")
        if states is None or not is_vector(states):
            limit = "states of shape (steps, width)"
            raise DataError("the demonstration has no states", where=demo.where, limit=limit, remedy="record it again")
        require_rows(states, demo.rows, where=demo.where)
        require_widths({"states": states, "actions": demo.entries["actions"]}, widths, where=demo.where)
        yield demo


def _extra(demo: Demonstration) -> dict[str, Array]:
    others = {name: data for name, data in demo.entries.items() if name not in ("states", "actions")}
    return {name: demo.vector(data) for name, data in others.items() if is_vector(data)}


def _left_out(demo: Demonstration) -> Iterator[LeftOut]:
    for name, data in demo.entries.items():
        if name in ("states", "actions"):
            continue
        if is_vector(data):
            yield LeftOut(name=name, kind="other", detail="measured while the action was executed: read as extra")
        else:
            yield left_out(name, data)
    model = attribute(demo.group, "model_file", demo.path)
    if model is not None:
        yield LeftOut(name="model_file", kind="text", detail=str(model) if len(str(model)) < PLAIN else "MuJoCo XML")
