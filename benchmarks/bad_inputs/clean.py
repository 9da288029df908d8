"""The other side: sound data in every format, and the real files where they lie beside the checkout, must come in."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.bad_inputs.case import WRITERS, Case, options_for
from benchmarks.bad_inputs.logs import Log, picks, slides, swings
from benchmarks.fresh_clone import ROOT

SHARED = ROOT.parent / "shared/data"
PUSHT = ("--robot", "pusht")
TIME_LIMIT = {"terminals": "ignore"}
"""What a person states of data whose terminals are its time limit."""

REAL: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("d4rl/adroit_door_human.hdf5", "d4rl_hdf5", ("--robot", "adroit_door")),
    ("d4rl/pusht_human.hdf5", "d4rl_hdf5", PUSHT),
    ("d4rl/nao_push_ball_real.hdf5", "d4rl_hdf5", ()),
    ("d4rl/fetch_pick_and_place_scripted.hdf5", "d4rl_hdf5", ()),
    ("d4rl/pendulum_expert.hdf5", "d4rl_hdf5", ()),
    ("formats/lerobot_v21_unitree_g1", "lerobot (v2.1)", ()),
    ("formats/minari_adroit/door-human-hdf5-v0", "minari (HDF5)", ()),
    ("formats/minari_adroit/door-human-arrow-v0", "minari (Arrow)", ()),
    ("formats/rlds_bridge", "rlds", ()),
    ("formats/zarr_pusht/pusht_cchi_v7_replay.zarr", "zarr_replay", PUSHT),
    ("formats/d4rl_generator/maze2d-umaze-v1.hdf5", "d4rl_hdf5", ()),
    ("formats/d4rl_variants/FetchPush-v2.hdf5", "d4rl_hdf5", ()),
)
"""Real data sets that hold episodes enough to be split, and their robots; each path below shared/data."""


def cases() -> list[Case]:
    """Made here, then real."""
    made = [_made(name, slides(), "slider") for name in WRITERS]
    made += [_made(name, slides(robot=True), "slider with its robot") for name in ("d4rl_hdf5", "robosuite_raw")]
    made += [_made(name, swings(), "pendulum") for name in ("d4rl_hdf5", "minari (HDF5)", "lerobot (v3.0)")]
    made += [_made(name, picks(), "Fetch") for name in ("d4rl_hdf5", "minari (Arrow)", "parquet_store")]
    real = [_real(*row) for row in REAL if (SHARED / row[0]).exists()]
    return [*made, *real]


def _made(format_name: str, log: Log, what: str) -> Case:
    return Case(
        group="clean",
        kind="made here",
        name=f"{format_name}: {what}",
        format=format_name,
        make=partial(WRITERS[format_name], log),
        options=options_for(format_name, log),
        units=log.units,
    )


def _real(path: str, format_name: str, options: tuple[str, ...]) -> Case:
    return Case(
        group="clean",
        kind="real",
        name=path,
        format=format_name,
        make=partial(_copied, SHARED / path),
        options=options,
        states=TIME_LIMIT if "variants" in path else {},
    )


def _copied(path: Path, folder: Path) -> Path:
    """The data set through a link beside it: what lies behind is read, and never written to."""
    link = folder / path.name
    link.symlink_to(path)
    return link
