"""One case: how its data set is made, what is said to the command line, and what it must find."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.bad_inputs import folders, hdf5_files, lerobot, rlds, slider
from benchmarks.bad_inputs.logs import SEED, Log

Writer = Callable[[Log, Path], Path]
Group = Literal["structural", "hashed", "semantic", "clean"]

WRITERS: dict[str, Writer] = {
    "d4rl_hdf5": hdf5_files.d4rl,
    "minari (HDF5)": hdf5_files.minari,
    "minari (Arrow)": folders.minari_arrow,
    "robomimic_hdf5": hdf5_files.robomimic,
    "robosuite_raw": hdf5_files.robosuite,
    "lerobot (v2.1)": lerobot.v21,
    "lerobot (v3.0)": lerobot.v30,
    "rlds": rlds.rlds,
    "zarr_replay": folders.zarr_buffer,
    "parquet_store": folders.store,
}

WITHOUT_REWARD: dict[str, tuple[str, ...]] = {
    "robosuite_raw": ("--robot", slider.__name__, "--keys", "states[1:9]"),
    "zarr_replay": ("--robot", slider.__name__),
}
"""Formats that log no reward, and how the slider's data is then adopted: its robot gives them."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A data set for the command line.

    Attributes:
        group, kind: the row of the table.
        name: unlike any other.
        make: writes the data set into a folder, gives the path to import.
        options: of ``adopt``, beyond the name.
        states: what the person who fills the blanks of the manifest says, by key; and the units of dimensions.
        checks: names of which one must be said; empty where any one-line error is right.
        place: a regular expression, found in the place of that finding, or in the line of the error.
        notice: whether a notice of that name is enough, where what was done is nothing wrong by itself.
        spoil: what is done to the data after its manifest, with its hash, was written.
    """

    group: Group
    kind: str
    name: str
    format: str
    make: Callable[[Path], Path]
    options: tuple[str, ...] = ()
    states: Mapping[str, object] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[str, ...] = ()
    place: str = ""
    notice: bool = False
    spoil: Callable[[Path], object] | None = None


def rng_of(name: str) -> np.random.Generator:
    """Random numbers of a case: its own, and the same on every run."""
    return np.random.default_rng([SEED, zlib.crc32(name.encode())])


def options_for(format_name: str, log: Log) -> tuple[str, ...]:
    """How ``adopt`` is told of a log in a format."""
    if log.robot is None:
        return WITHOUT_REWARD.get(format_name, ())
    keys = ("--keys", f"states[1:{len(log.observation) + 1}]") if format_name == "robosuite_raw" else ()
    return ("--robot", log.robot, *keys)
