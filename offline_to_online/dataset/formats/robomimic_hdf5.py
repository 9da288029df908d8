"""robomimic HDF5: ``data/demo_0/{actions, rewards, dones, states}``, ``obs/<key>`` and ``next_obs/<key>``.

Every vector under ``obs`` is a sensor of that name (``obs/robot0_eef_pos``), arrays of more than one axis flattened;
``states``, the simulator's, is one more. The observation, where a manifest selects none, is what robomimic's own
configuration trains on (``low_dim`` in ``config/base_config.py``): object, end effector's place and turn, gripper.
Where those of the robot are absent it is every vector under ``obs``, by name. Pictures are left out.

``next_obs`` gives the observation after each action, so after the last one too; a file may lack it. ``dones`` is handed
on as logged: robomimic's converter sets it at success, at the end, or at both (``--done_mode`` of
``dataset_states_to_obs.py``), so it may stand at several last steps. ``actions_abs``, ``action_dict`` and other arrays
a step are extra. Demonstrations come by number; ``num_samples`` and ``total`` are held against the rows, and the names
that ``mask`` lists against the demonstrations.

Layout: robomimic documentation, "Dataset Structure" (https://robomimic.github.io/docs/datasets/overview.html);
Mandlekar et al., 2021, arXiv:2108.03298.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py

from offline_to_online.dataset.formats._hdf5 import attribute, opened, values_of
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
from offline_to_online.dataset.formats._hdf5_groups import entries, is_text, is_vector, json_in, require_rows
from offline_to_online.dataset.logged import Contents, LeftOut, LoggedEpisode, Vector
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

ROBOT = ("obs/robot0_eef_pos", "obs/robot0_eef_quat", "obs/robot0_gripper_qpos")
DEFAULT = ("obs/object", *ROBOT)
POSTPROCESSED = {"obs", "next_obs", "rewards", "dones"}
KNOWN = {"actions", "states", "rewards", "dones", "obs", "next_obs"}


def recognises(path: Path) -> bool:
    """Whether it is an HDF5 file of demonstrations with observations, rewards or dones, or one that is a link."""
    names = names_in(path)
    return bool(names & POSTPROCESSED) or ("actions" in names and "states" not in names)


def describe(path: Path) -> Contents:
    """What the file holds; steps are the rows of ``actions`` as they stand.

    Raises:
        DataError: the file is damaged or no such file, a demonstration has no actions or lacks what the first has,
            lengths, ``num_samples`` or ``total`` disagree, ``mask`` names what there is not, or something lies
            outside the file.
    """
    with opened(path) as file:
        data = data_group(file, path)
        settings = json_in(data, "env_args", path)
        steps = {demo.name: demo.rows for demo in _whole(data, path)}
        require_total(data, sum(steps.values()), path)
        first = next(demonstrations(data, path))
        sensors = _sensors(first)
        kwargs = settings.get("env_kwargs")
        return Contents(
            format="robomimic_hdf5",
            sensors=sensors,
            observation=_default(sensors, path),
            actions=vector_of("actions", first.entries["actions"]),
            rewards="rewards" in first.entries,
            ends="dones" in first.entries,
            times=False,
            final_observation="next_obs" in first.entries,
            episodes=len(steps),
            steps=sum(steps.values()),
            control_rate_hz=rate_in(kwargs if isinstance(kwargs, dict) else {}),
            left_out=tuple(_left_out(first)),
            findings=missing_numbers(list(steps), path),
            facts=_facts(settings) | _masks(file, set(steps), path),
        )


def read(path: Path, *, sensors: Sequence[str] | None = None, extra: bool = False) -> Iterator[LoggedEpisode]:
    """Demonstrations by number, one in memory at a time, with the values as they stand in the file.

    Raises:
        DataError: as ``describe``, or values cannot be read.
    """
    with opened(path) as file:
        for demo in _whole(data_group(file, path), path):
            yield _episode(demo, sensors, extra=extra)


def _episode(demo: Demonstration, sensors: Sequence[str] | None, *, extra: bool) -> LoggedEpisode:
    wanted = {name: data for name, data in _vectors(demo).items() if sensors is None or name in sensors}
    after = {name: data for name, data in _following(demo).items() if name in wanted}
    dones = demo.column("dones")
    return LoggedEpisode(
        where=demo.where,
        sensors={name: demo.vector(data) for name, data in wanted.items()},
        following={name: demo.vector(data) for name, data in after.items()},
        actions=demo.vector(demo.entries["actions"]),
        rewards=demo.column("rewards"),
        terminals=None if dones is None else _flags(dones, demo.where),
        extra={name: demo.vector(data) for name, data in _others(demo).items()} if extra else {},
    )


def _whole(data: Any, path: Path) -> Iterator[Demonstration]:
    """Every demonstration, its arrays of one length, and the same ones in the same widths as the first."""
    widths: dict[str, int] = {}
    for demo in demonstrations(data, path):
        require_samples(demo)
        arrays = {**_vectors(demo), **_columns(demo), "actions": demo.entries["actions"]}
        after = {f"next_{name}": array for name, array in _following(demo).items()}
        for array in (*arrays.values(), *after.values()):
            require_rows(array, demo.rows, where=demo.where)
        require_widths({**arrays, **after}, widths, where=demo.where)
        yield demo


def _vectors(demo: Demonstration) -> dict[str, Any]:
    """The sensors of a demonstration: vectors under ``obs``, and ``states``."""
    found = {f"obs/{key}": data for key, data in demo.inside("obs").items() if is_vector(data)}
    states = demo.entries.get("states")
    return found | ({"states": states} if states is not None and is_vector(states) else {})


def _columns(demo: Demonstration) -> dict[str, Any]:
    return {name: demo.entries[name] for name in ("rewards", "dones") if name in demo.entries}


def _following(demo: Demonstration) -> dict[str, Any]:
    """The same sensors after each action, under the same names.

    Raises:
        DataError: ``next_obs`` is there, and lacks one or has it in another shape.
    """
    if "next_obs" not in demo.entries:
        return {}
    before, after = demo.inside("obs"), demo.inside("next_obs")
    for key, data in before.items():
        if is_vector(data) and getattr(after.get(key), "shape", None) != data.shape:
            found = f"has the shape {after[key].shape}" if isinstance(after.get(key), h5py.Dataset) else "is absent"
            limit = f"that of obs/{key}, {data.shape}"
            raise DataError(f"next_obs/{key} {found}", where=demo.where, limit=limit, remedy="write the file again")
    return {f"obs/{key}": after[key] for key, data in before.items() if is_vector(data)}


def _others(demo: Demonstration) -> dict[str, Any]:
    """Other vectors a step that no manifest selects: actions in other words."""
    direct = {name: data for name, data in demo.entries.items() if name not in KNOWN}
    inside = {f"action_dict/{key}": data for key, data in demo.inside("action_dict").items()}
    return {name: data for name, data in {**direct, **inside}.items() if is_vector(data) and len(data) == demo.rows}


def _sensors(demo: Demonstration) -> tuple[Vector, ...]:
    return tuple(vector_of(name, data) for name, data in _vectors(demo).items())


def _default(sensors: tuple[Vector, ...], path: Path) -> tuple[str, ...]:
    names = {sensor.name for sensor in sensors}
    if names.issuperset(ROBOT):
        return tuple(name for name in DEFAULT if name in names)
    observed = sorted(name for name in names if name.startswith("obs/")) or sorted(names)
    if not observed:
        raise DataError(
            "no vector is logged beside the actions",
            where=str(path),
            limit="at least one vector under obs, or states",
            remedy="extract low-dimensional observations with robomimic's dataset_states_to_obs.py",
        )
    return tuple(observed)


def _left_out(demo: Demonstration) -> Iterator[LeftOut]:
    for key, data in demo.inside("obs").items():
        if not is_vector(data):
            yield left_out(f"obs/{key}", data)
    others = _others(demo)
    for name, data in demo.entries.items():
        if name not in KNOWN or (name == "states" and not is_vector(data)):
            detail = "another form of the actions: read as extra" if name in others or name == "action_dict" else ""
            yield LeftOut(name=name, kind="other", detail=detail) if detail else left_out(name, data)
    for name in ("model_file", "ep_meta", "camera_info"):
        if attribute(demo.group, name, demo.path) is not None:
            yield LeftOut(name=name, kind="text", detail="of each demonstration")


def _facts(settings: Mapping[str, Any]) -> dict[str, str]:
    kwargs = settings.get("env_kwargs")
    robots = kwargs.get("robots") if isinstance(kwargs, dict) else None
    found = {key: settings.get(key) for key in ("env_name", "env_type", "type", "env_version")} | {"robots": robots}
    return {name: str(value) for name, value in found.items() if value is not None}


def _masks(file: Any, names: set[str], path: Path) -> dict[str, str]:
    """How many demonstrations each filter key names.

    Raises:
        DataError: it names one that there is not.
    """
    mask = entries(file, path).get("mask")
    found = {}
    for key, data in (entries(mask, path) if isinstance(mask, h5py.Group) else {}).items():
        if not is_text(data):
            limit = "a list of demonstrations"
            raise DataError(f"mask/{key} holds no names", where=str(path), limit=limit, remedy="mend the mask")
        listed = [_text(value) for value in values_of(data, slice(None), path).reshape(-1)]
        absent = sorted(set(listed) - names)
        if absent:
            what = f"mask/{key} names {absent[0]}, which there is not"
            limit = f"one of the {len(names)} demonstrations"
            raise DataError(what, where=str(path), limit=limit, remedy="find the demonstration, or mend the mask")
        found[f"mask/{key}"] = f"{len(listed)} demonstrations"
    return found


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _flags(values: Array, where: str) -> Array:
    """Flags as bool.

    Raises:
        DataError: one of them is neither 0 nor 1.
    """
    odd = ~((values == 0) | (values == 1))
    if odd.any():
        step = int(odd.argmax())
        what = f"dones is {values[step]}"
        raise DataError(what, where=f"{where}, step {step}", limit="0 or 1", remedy="mend the recording")
    return values.astype(bool)
