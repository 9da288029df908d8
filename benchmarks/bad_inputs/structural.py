"""Structural damage, by kind and format: what lies in the files is not what their layout promises."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from benchmarks.bad_inputs import broken_arrow, broken_hdf5, broken_lerobot, broken_rlds, broken_zarr, damage
from benchmarks.bad_inputs.case import WRITERS, Case, options_for
from benchmarks.bad_inputs.damage import Damage
from benchmarks.bad_inputs.logs import Log, slides
from benchmarks.bad_inputs.rows import Row

DATA = {
    "d4rl_hdf5": "",
    "minari (HDF5)": "data/main_data.hdf5",
    "minari (Arrow)": "data/3/part-0.arrow",
    "robomimic_hdf5": "",
    "robosuite_raw": "",
    "lerobot (v2.1)": "data/chunk-000/episode_000003.parquet",
    "lerobot (v3.0)": "data/chunk-000/file-001.parquet",
    "rlds": "slide-train.tfrecord-00001-of-00002",
    "zarr_replay": "data/state/2.0",
    "parquet_store": "transitions.parquet",
}
"""One file of each format that holds numbers; empty where the data set is that file."""

WHOLE_FILE: tuple[tuple[str, str, Damage], ...] = (
    ("empty file", "no bytes", damage.emptied),
    ("truncated file", "the first 3 %", damage.truncated(0.03)),
    ("truncated file", "the first half", damage.truncated(0.5)),
    ("truncated file", "all but 1 %", damage.truncated(0.99)),
    ("foreign file, right name", "a table of text", damage.as_text),
    ("foreign file, right name", "a picture", damage.as_picture),
    ("pickle, right name", "one that runs", damage.pickled),
)

NAMED = {"no rewards": ("missing_rewards",)}
"""What may come in and must be said: data without rewards is good for imitation."""

OWN: dict[str, tuple[Row, ...]] = {
    "d4rl_hdf5": broken_hdf5.D4RL,
    "minari (HDF5)": broken_hdf5.MINARI,
    "minari (Arrow)": broken_arrow.ARROW,
    "robomimic_hdf5": broken_hdf5.ROBOMIMIC,
    "robosuite_raw": broken_hdf5.ROBOSUITE,
    "lerobot (v2.1)": broken_lerobot.V21,
    "lerobot (v3.0)": broken_lerobot.V30,
    "rlds": broken_rlds.RLDS,
    "zarr_replay": broken_zarr.ZARR,
    "parquet_store": broken_arrow.STORE,
}


def cases() -> list[Case]:
    """All of them."""
    return [case for name in WRITERS for case in _of(name, (*_whole_file(name), *OWN[name]))]


def _of(format_name: str, rows: Iterable[Row]) -> list[Case]:
    log = slides()
    return [
        Case(
            group="structural",
            kind=kind,
            name=f"{format_name}: {what}",
            format=format_name,
            make=partial(_made, format_name, log, spoil),
            options=options_for(format_name, log),
            units=log.units,
            checks=NAMED.get(what, ()),
            place=place,
        )
        for kind, what, spoil, place in rows
    ]


def _made(format_name: str, log: Log, spoil: Damage, folder: Path) -> Path:
    path = WRITERS[format_name](log, folder)
    spoil(path)
    return path


def _whole_file(format_name: str) -> list[Row]:
    inner = DATA[format_name]
    links = [] if not inner else [("link out of the data", f"{inner} lies elsewhere", damage.moved_out)]
    gone = [("missing file, shard or chunk", f"no {inner or 'file'}", damage.removed)]
    return [
        (kind, f"{inner or 'the file'}: {what}", partial(_at, inner, how), "")
        for kind, what, how in (*WHOLE_FILE, *links, *gone)
    ]


def _at(inner: str, how: Damage, path: Path) -> None:
    how(path / inner if inner else path)
