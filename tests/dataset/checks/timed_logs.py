"""Made-up logs for the checks that look at time, and the real ones as the readers give them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from offline_to_online.dataset.assembly import assemble, implied_layout
from offline_to_online.dataset.checks import RobotFacts, Seen, Subject
from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.formats import d4rl_hdf5
from offline_to_online.dataset.logged import Contents, LoggedEpisode, Vector
from offline_to_online.dataset.spec import Array

FILES = {
    "door": "d4rl/adroit_door_human.hdf5",
    "fetch": "d4rl/fetch_pick_and_place_scripted.hdf5",
    "nao": "d4rl/nao_push_ball_real.hdf5",
    "pendulum": "d4rl/pendulum_expert.hdf5",
    "pusht": "d4rl/pusht_human.hdf5",
    "maze": "d4rl_generator/maze2d-umaze-v1.hdf5",
    "push": "d4rl_variants/FetchPush-v2.hdf5",
}


def contents(width: int, **changes: Any) -> Contents:
    """What the headers of a made-up log say: one sensor ``state``, two actions."""
    fields: dict[str, Any] = {
        "format": "made_up",
        "sensors": (Vector(name="state", width=width, dtype="float32"),),
        "observation": ("state",),
        "actions": Vector(name="action", width=2, dtype="float32"),
        "rewards": True,
        "ends": True,
        "times": True,
        "final_observation": True,
    }
    return Contents(**{**fields, **changes})


def subject(width: int = 3, *, robot: RobotFacts | None = None, manifest: Any = None, **changes: Any) -> Subject:
    """Dimensions o0, o1 ... and a0, a1."""
    return Subject(
        contents=contents(width, **changes),
        observation=tuple(f"o{i}" for i in range(width)),
        action=("a0", "a1"),
        robot=robot,
        manifest=manifest,
    )


def smooth(seed: int, *, length: int = 60, width: int = 3) -> Array:
    """Observations (length + 1, width) of a damped swing from a random start, its frequency drawn too."""
    rng = np.random.default_rng(seed)
    time = np.arange(length + 1)[:, None]
    phase, rate = rng.uniform(0, 6, width), rng.uniform(0.05, 0.12, width)
    return (np.exp(-time / 90) * np.sin(phase + rate * time) + rng.normal(0, 1e-3, (length + 1, width))).astype("f4")


def logged(rows: Array, *, seed: int = 0, final: bool = True, **changes: Any) -> LoggedEpisode:
    """One episode around observations (T+1, O), with a clock of 20 Hz; ended by a time limit."""
    steps = len(rows) - 1
    fields: dict[str, Any] = {
        "where": "log.hdf5, episode 0",
        "sensors": {"state": rows if final else rows[:-1]},
        "actions": np.random.default_rng(seed).uniform(-1, 1, (steps, 2)).astype("f4"),
        "rewards": np.linspace(0, 1, steps, dtype="f4"),
        "terminals": np.zeros(steps, dtype=bool),
        "timeouts": np.arange(steps) == steps - 1,
        "times": np.arange(steps) * 0.05,
    }
    return LoggedEpisode(**{**fields, **changes})


def seen(episodes: Iterable[LoggedEpisode]) -> list[Seen]:
    """Numbered, each with what assembly makes of it."""
    kept = list(episodes)
    state = kept[0].sensors["state"]
    layout = implied_layout(contents(state.shape[1]))
    return [Seen(index=i, episode=assemble(one, layout), logged=one) for i, one in enumerate(kept)]


def log(count: int = 12, **options: Any) -> list[LoggedEpisode]:
    """Several smooth episodes, none like another."""
    return [logged(smooth(seed, **options), seed=seed) for seed in range(count)]


def changed(episode: LoggedEpisode, edit: Any) -> LoggedEpisode:
    """The same episode after ``edit`` was let loose on a copy of its observations (T+1, O)."""
    rows = episode.sensors["state"].copy()
    edit(rows)
    return dataclasses.replace(episode, sensors={"state": rows})


def found(module: ModuleType, subject: Subject, episodes: Sequence[Seen]) -> list[Finding]:
    """What the checks of a module find."""
    checks = module.checks(subject)
    for one in episodes:
        for check in checks:
            check.see(one)
    return [finding for check in checks for finding in check.findings()]


@cache
def real(folder: Path, name: str) -> tuple[Subject, tuple[Seen, ...]]:
    """A real log, through its reader and assembly, as an inspection sees it."""
    part = FILES[name]
    path = folder / (part if part.startswith("d4rl/") else f"formats/{part}")
    described = d4rl_hdf5.describe(path)
    layout = implied_layout(described)
    episodes = enumerate(d4rl_hdf5.read(path, extra=True))
    known = Subject(contents=described, observation=layout.observation_names, action=layout.action_names)
    return known, tuple(Seen(index=i, episode=assemble(one, layout), logged=one) for i, one in episodes)


def with_rows(one: Seen, rows: Array, **changes: Any) -> Seen:
    """A real episode with other observations (T+1, O), in the file as in the episode."""
    episode = dataclasses.replace(one.episode, observations=rows.astype("f4"), **changes)
    name, after = next(iter(one.logged.sensors)), bool(one.logged.following)
    return Seen(
        index=one.index,
        episode=episode,
        logged=dataclasses.replace(
            one.logged,
            sensors={name: rows[:-1] if after else rows},
            following={name: rows[1:]} if after else {},
            actions=episode.actions,
        ),
    )


def exchanged(episodes: Sequence[Seen], new: Seen) -> list[Seen]:
    """The log with one episode exchanged for another of the same index."""
    return [new if one.index == new.index else one for one in episodes]


def only(findings: Iterable[Finding], check: str, **place: Any) -> Finding:
    """The one finding of that name at that place."""
    chosen = [f for f in findings if f.check == check and all(getattr(f, k) == v for k, v in place.items())]
    assert len(chosen) == 1, [(f.check, f.place, f.message) for f in findings]
    return chosen[0]
