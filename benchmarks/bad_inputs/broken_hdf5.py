"""Structural damage to the HDF5 formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.bad_inputs.damage import Damage, array, hdf5_with, key, no_json, removed, texts, value_at, without
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
    row_of,
)


def _linked(name: str, link: Callable[[Path], Any]) -> Damage:
    """The array moves to a file beside the data set, and a link takes its place."""

    def damage(path: Path) -> None:
        other = next(p for p in path.parents if p.name == "raw") / "elsewhere.hdf5"
        with h5py.File(path, "r+") as file, h5py.File(other, "w") as outside:
            outside["moved"] = file[name][()]
            del file[name]
            file[name] = link(other)

    return damage


def _external(path: Path) -> Any:
    return h5py.ExternalLink(str(path), "/moved")


def _dangling(path: Path) -> Any:
    return h5py.SoftLink("/nowhere")


def _stored_outside(name: str) -> Damage:
    """The array's bytes lie in a raw file beside the HDF5 file."""

    def damage(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            values = file[name][()]
            del file[name]
            outside = path.with_name("elsewhere.bin")
            outside.write_bytes(values.tobytes())
            places = [(str(outside), 0, values.nbytes)]
            file.create_dataset(name, values.shape, values.dtype, external=places)

    return damage


def _never_written(name: str) -> Damage:
    """The array is announced in chunks, half of which were never written: HDF5 reads them as zeros."""

    def change(file: Any) -> None:
        values = file[name][()]
        del file[name]
        chunks = (max(1, len(values) // 4), *values.shape[1:])
        data = file.create_dataset(name, values.shape, values.dtype, chunks=chunks)
        data[: len(values) // 2] = values[: len(values) // 2]

    return hdf5_with(change)


def _attribute(place: str, name: str, value: Any) -> Damage:
    def change(file: Any) -> None:
        (file[place] if place else file).attrs[name] = value

    return hdf5_with(change)


def _renamed(old: str, new: str) -> Damage:
    return hdf5_with(lambda file: file.move(old, new))


def _cut_to_nothing(group: str) -> Damage:
    """Every array of an episode has no rows left."""

    def change(file: Any) -> None:
        names = list[str]()
        file[group].visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
        for name in names:
            values = file[group][name][()]
            del file[group][name]
            # Minari keeps one observation where nothing was done.
            keep = 1 if group.startswith("episode_") and name.split("/")[0] in ("observations", "infos") else 0
            file[group][name] = values[:keep]
        for name in ("total_steps", "num_samples"):
            if name in file[group].attrs:
                file[group].attrs[name] = 0

    return hdf5_with(change)


def _with_ends(*, shift: int) -> Damage:
    """``episodes/ends`` beside the flags, each ``shift`` rows from where the flags end the episode."""

    def change(file: Any) -> None:
        ends = 1 + np.flatnonzero(file["terminals"][()] | file["timeouts"][()])
        file["episodes/ends"] = ends + shift

    return hdf5_with(change)


def _no_rows(file: Any) -> None:
    names = [name for name in file if isinstance(file[name], h5py.Dataset)]
    for name in names:
        values = file[name][()]
        del file[name]
        file[name] = values[:0]


def _in_data(how: Damage, name: str = "main_data.hdf5") -> Damage:
    return lambda path: how(path / "data" / name)


AT = row_of(3, 5)
D4RL: tuple[Row, ...] = (
    (MISSING, "no observations", without("observations"), ""),
    (MISSING, "no actions", without("actions"), ""),
    (MISSING, "no rewards", without("rewards"), ""),
    (MISSING, "no terminals", without("terminals"), ""),
    (SHAPE, "observations are flat", array("observations", np.ravel), ""),
    (SHAPE, "rewards have two columns", array("rewards", lambda v: np.stack([v, v], 1)), ""),
    (LENGTH, "one action too few", array("actions", lambda v: v[:-1]), ""),
    (LENGTH, "half the rewards", array("rewards", lambda v: v[: len(v) // 2]), ""),
    (LENGTH, "one operator too few", array("episodes/operator", lambda v: v[:-1]), ""),
    (LENGTH, "timeouts one step longer", array("timeouts", lambda v: np.append(v, True)), ""),
    (TEXT, "observations are words", array("observations", texts), "observations"),
    (TEXT, "actions are words", array("actions", texts), "actions"),
    (FINITE, "NaN in observations", array("observations", value_at((AT, 2), np.nan)), HERE),
    (FINITE, "infinity in actions", array("actions", value_at((AT, 1), np.inf)), HERE),
    (FINITE, "NaN in rewards", array("rewards", value_at((AT,), np.nan)), HERE),
    (FINITE, "NaN in terminals", array("terminals", value_at((AT,), np.nan)), "terminals.*step|step.*terminals"),
    (FINITE, "beyond float32", array("observations", value_at((AT, 2), 1e39)), HERE),
    (NOTHING, "no steps at all", hdf5_with(_no_rows), ""),
    (LIES, "episodes/ends a row late", _with_ends(shift=1), ""),
    (LIES, "half of observations never written", _never_written("observations"), "observations"),
    (LINK, "observations by an external link", _linked("observations", _external), "observations"),
    (LINK, "rewards by a link to nowhere", _linked("rewards", _dangling), "rewards"),
    (LINK, "actions stored outside", _stored_outside("actions"), "actions"),
)

MINARI: tuple[Row, ...] = tuple(
    (kind, what, _in_data(how, "metadata.json" if "metadata" in what else "main_data.hdf5"), place)
    for kind, what, how, place in (
        (MISSING, "no rewards in one episode", without("episode_3/rewards"), "episode 3"),
        (MISSING, "no actions in one episode", without("episode_3/actions"), "episode 3"),
        (SHAPE, "another width in one episode", array("episode_3/observations", lambda v: v[:, :-1]), "episode 3"),
        (SHAPE, "flat actions in one episode", array("episode_3/actions", np.ravel), "episode 3"),
        (LENGTH, "one observation too few", array("episode_3/observations", lambda v: v[:-1]), "episode 3"),
        (LENGTH, "one reward too few", array("episode_3/rewards", lambda v: v[:-1]), "episode 3"),
        (TEXT, "actions are words", array("episode_3/actions", texts), "episode 3"),
        (FINITE, "NaN in observations", array("episode_3/observations", value_at((5, 2), np.nan)), HERE),
        (FINITE, "infinity in rewards", array("episode_3/rewards", value_at((5,), np.inf)), HERE),
        (ORDER, "episode 3 is missing", without("episode_3"), "episode 3"),
        (ORDER, "episode 3 is called 40", _renamed("episode_3", "episode_40"), "episode 3"),
        (NOTHING, "episode 3 has no steps", _cut_to_nothing("episode_3"), "episode 3"),
        (LIES, "total_steps of one episode", _attribute("episode_3", "total_steps", 7), "episode 3"),
        (LIES, "half of one array never written", _never_written("episode_3/observations"), "episode 3"),
        (LINK, "one array by an external link", _linked("episode_3/actions", _external), "episode 3"),
        (
            LIES,
            "total_episodes in the metadata",
            key("total_episodes", to=EPISODES + 1),
            rf"metadata|episode {EPISODES}",
        ),
        (LIES, "total_steps in the metadata", key("total_steps", to=1), "metadata"),
        (JSON, "metadata that breaks off", no_json, "metadata.json"),
        (JSON, "no metadata", removed, "metadata.json"),
        (JSON, "metadata with another storage", key("data_format", to="arrow"), ""),
    )
)

ROBOMIMIC: tuple[Row, ...] = (
    (MISSING, "no obs in one demonstration", without("data/demo_3/obs"), "demo_3"),
    (MISSING, "no actions in one demonstration", without("data/demo_3/actions"), "demo_3"),
    (MISSING, "one sensor lacks in next_obs", without("data/demo_3/next_obs/object"), "demo_3"),
    (MISSING, "no group data", without("data"), ""),
    (SHAPE, "another width of one sensor", array("data/demo_3/obs/object", lambda v: v[:, :2]), "demo_3"),
    (SHAPE, "flat actions", array("data/demo_3/actions", np.ravel), "demo_3"),
    (LENGTH, "one reward too few", array("data/demo_3/rewards", lambda v: v[:-1]), "demo_3"),
    (
        LENGTH,
        "one row of a sensor too many",
        array("data/demo_3/obs/object", lambda v: v[[*range(len(v)), 0]]),
        "demo_3",
    ),
    (TEXT, "rewards are words", array("data/demo_3/rewards", texts), "demo_3"),
    (FINITE, "NaN in a sensor", array("data/demo_3/obs/object", value_at((5, 2), np.nan)), HERE),
    (FINITE, "infinity in actions", array("data/demo_3/actions", value_at((5, 2), np.inf)), HERE),
    (ORDER, "demo_3 is missing", without("data/demo_3"), ""),
    (NOTHING, "demo_3 has no steps", _cut_to_nothing("data/demo_3"), "demo_3|total"),
    (LIES, "num_samples of one demonstration", _attribute("data/demo_3", "num_samples", 7), "demo_3"),
    (LIES, "total", _attribute("data", "total", 12), ""),
    (LIES, "half of one array never written", _never_written("data/demo_3/actions"), "demo_3"),
    (LINK, "one sensor by an external link", _linked("data/demo_3/obs/object", _external), "demo_3"),
    (JSON, "env_args that break off", _attribute("data", "env_args", '{"env_name": '), "env_args"),
)

ROBOSUITE: tuple[Row, ...] = (
    (MISSING, "no states in one demonstration", without("data/demo_4/states"), "demo_4"),
    (MISSING, "no actions in one demonstration", without("data/demo_4/actions"), "demo_4"),
    (SHAPE, "another width in one demonstration", array("data/demo_4/states", lambda v: v[:, :-1]), "demo_4"),
    (LENGTH, "one action too few", array("data/demo_4/actions", lambda v: v[:-1]), "demo_4"),
    (TEXT, "states are words", array("data/demo_4/states", texts), "demo_4"),
    (FINITE, "NaN in states", array("data/demo_4/states", value_at((5, 2), np.nan)), HERE),
    (FINITE, "infinity in actions", array("data/demo_4/actions", value_at((5, 2), np.inf)), HERE),
    (NOTHING, "demo_4 has no steps", _cut_to_nothing("data/demo_4"), "demo_4|episode 3"),
    (LIES, "half of one array never written", _never_written("data/demo_4/states"), "demo_4"),
    (LINK, "states stored outside", _stored_outside("data/demo_4/states"), "demo_4"),
    (LINK, "actions by a link to nowhere", _linked("data/demo_4/actions", _dangling), "demo_4"),
    (JSON, "env_info that breaks off", _attribute("data", "env_info", '{"env_name": '), "env_info"),
)
