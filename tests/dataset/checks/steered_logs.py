"""Made-up logs for the checks that look at numbers: a sled that its two actions push, and ways to spoil them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from offline_to_online.dataset.checks import RobotFacts, Seen, Subject
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.logged import Contents, LoggedEpisode, Vector
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.spec import Array

OBSERVATION, ACTION = ("x", "y", "speed_x", "speed_y"), ("push_x", "push_y")
DRIVES = {"push_x": "speed_x", "push_y": "speed_y"}
Change = Callable[[Array], Array]


@dataclasses.dataclass(frozen=True)
class Labels:
    """What a made-up robot says of an episode."""

    rewards: Array
    cost: Array
    success: bool
    score: float


def label(observations: Array, actions: Array) -> Labels:
    """A success is x beyond 0.5 in some step; it is 1, and any other step 0."""
    beyond = observations[1:, 0] > 0.5
    return Labels(beyond.astype("f4"), np.zeros(len(actions), dtype="f4"), bool(beyond.any()), float(beyond.any()))


def robot(**changes: Any) -> RobotFacts:
    """The sled as a plug-in knows it."""
    fields: dict[str, Any] = {
        "name": "sled",
        "label": label,
        "drives": DRIVES,
        "horizon": 60,
        "ends_on_success": False,
    }
    return RobotFacts(**{**fields, **changes})


def subject(*, bounds: tuple[float, float] | None = None, manifest: Manifest | None = None, **changes: Any) -> Subject:
    """What is known of the sled's log: nothing but names, where nothing else is given."""
    low, high = (None, None) if bounds is None else (np.full(2, b, dtype=np.float32) for b in bounds)
    contents = Contents(
        format="made_up",
        sensors=(Vector(name="state", width=4, dtype="float32"),),
        observation=("state",),
        actions=Vector(name="action", width=2, dtype="float32"),
        rewards=True,
        ends=True,
        times=False,
        final_observation=True,
    )
    fields: dict[str, Any] = {"observation": OBSERVATION, "action": ACTION, "action_low": low, "action_high": high}
    return Subject(contents=contents, manifest=manifest, **{**fields, **changes})


def drive(seed: int, *, length: int = 60) -> tuple[Array, Array]:
    """Observations (length + 1, 4) under actions (length, 2) that steer towards the middle, and waver."""
    rng = np.random.default_rng([7, seed])
    state, seen, done = np.array([*rng.uniform(-1, 1, 2), 0.0, 0.0]), [], []
    seen.append(state)
    for _ in range(length):
        action = np.clip(-0.6 * state[:2] - 0.2 * state[2:] + rng.normal(0, 0.3, 2), -1, 1)
        speed = 0.9 * state[2:] + 0.2 * action + rng.normal(0, 0.01, 2)
        state = np.concatenate([state[:2] + 0.1 * speed, speed])
        seen.append(state)
        done.append(action)
    return np.array(seen, dtype=np.float32), np.array(done, dtype=np.float32)


def one(
    index: int,
    observations: Array,
    actions: Array,
    *,
    rewards: Array | None = None,
    operator: str = "ann",
    **logged: Any,
) -> Seen:
    """An episode, as logged (which ``logged`` changes) and as it would be stored."""
    steps = len(actions)
    rewards = label(observations, actions).rewards if rewards is None else rewards
    episode = Episode(
        observations=observations.astype(np.float32),
        actions=actions.astype(np.float32),
        rewards=rewards.astype(np.float32),
        cost=np.zeros(steps, dtype=np.float32),
        intervened=np.zeros(steps, dtype=np.bool_),
        terminated=False,
        truncated=True,
        operator=operator or "unknown",
        seed=-1,
        success=False,
        score=0.0,
    )
    fields: dict[str, Any] = {
        "where": f"log.hdf5, episode {index}",
        "sensors": {"state": observations},
        "actions": actions,
        "rewards": rewards,
        "operator": operator,
    }
    return Seen(index=index, episode=episode, logged=LoggedEpisode(**{**fields, **logged}))


def log(count: int = 12, *, length: int = 60, **logged: Any) -> list[Seen]:
    """Some drives of the sled, none like another."""
    return [one(seed, *drive(seed, length=length), **logged) for seed in range(count)]


def acted(episodes: Sequence[Seen], change: Change, only: Sequence[int] = ()) -> list[Seen]:
    """The same log with other actions, everywhere or in some episodes."""
    return [with_actions(s, change(s.episode.actions.copy())) if not only or s.index in only else s for s in episodes]


def with_actions(seen: Seen, actions: Array) -> Seen:
    """The same episode with other actions, in the file as in the episode."""
    return dataclasses.replace(
        seen,
        episode=dataclasses.replace(seen.episode, actions=actions.astype(np.float32)),
        logged=dataclasses.replace(seen.logged, actions=actions),
    )


def negated(*dimensions: int) -> Change:
    """Some dimensions with the other sign; none means all."""

    def change(actions: Array) -> Array:
        actions[:, list(dimensions) or slice(None)] *= -1
        return actions

    return change


def swapped(first: int, second: int) -> Change:
    """Two dimensions in each other's place."""

    def change(actions: Array) -> Array:
        actions[:, [first, second]] = actions[:, [second, first]]
        return actions

    return change


def later(steps: int) -> Change:
    """Every action logged some steps later than it acted; earlier where negative."""
    return lambda actions: np.roll(actions, steps, axis=0)


def found(module: ModuleType, subject: Subject, episodes: Sequence[Seen]) -> list[Finding]:
    """What the checks of a module find."""
    checks = module.checks(subject)
    for seen in episodes:
        for check in checks:
            check.see(seen)
    return [finding for check in checks for finding in check.findings()]


def names(findings: Sequence[Finding]) -> set[str]:
    """The names that were said."""
    return {finding.check for finding in findings}


def the(findings: Sequence[Finding], check: str) -> Finding:
    """The one finding of that name."""
    chosen = [finding for finding in findings if finding.check == check]
    assert len(chosen) == 1, [(f.check, f.place, f.message) for f in findings]
    return chosen[0]
