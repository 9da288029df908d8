"""Sound recordings, made here, the same on every machine: the slider's, a pendulum's, and the simulated Fetch's."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.bad_inputs import slider
from offline_to_online.dataset.spec import Array

DEFAULT_SEED = 20_240
SEED = int(os.environ.get("BAD_INPUTS_SEED", DEFAULT_SEED))
PEOPLE = ("anna", "ben")
EPISODES = 30
"""Of the slider: a little more than the thousand steps below which some checks only give notice."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One episode of T steps: observations (T+1, O), actions (T, A), all else (T,), times (T+1,) in seconds."""

    observations: Array
    actions: Array
    rewards: Array
    terminals: Array
    timeouts: Array
    successes: Array
    times: Array
    operator: str
    seed: int

    def __len__(self) -> int:
        return len(self.actions)

    def steps(self, start: int, stop: int) -> Recording:
        """Steps [start, stop) as a recording of their own, cut at their end."""
        part = slice(start, stop)
        return replace(
            self,
            observations=self.observations[start : stop + 1],
            times=self.times[start : stop + 1],
            **{name: getattr(self, name)[part] for name in ("actions", "rewards", "terminals", "successes")},
            timeouts=np.arange(stop - start) == stop - start - 1,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Log:
    """Recordings, and what their data set says of itself.

    Attributes:
        bounds: of every action, which some formats declare.
        robot: the plug-in to adopt it with; none adopts it as a stranger's.
        follows: whether D4RL and robomimic log the observation after each step.
        timed: whether D4RL logs the time of each step.
        tabled: whether D4RL has a table of its episodes, who acted among it.
    """

    recordings: tuple[Recording, ...]
    observation: tuple[str, ...]
    units: Mapping[str, str]
    action: tuple[str, ...]
    bounds: tuple[float, float]
    rate_hz: float
    robot: str | None = None
    follows: bool = True
    timed: bool = True
    tabled: bool = True

    def map(self, change: Callable[[Recording], Recording], only: tuple[int, ...] = ()) -> Log:
        """The log with every recording changed, or only those of these numbers."""
        changed = (change(r) if not only or i in only else r for i, r in enumerate(self.recordings))
        return replace(self, recordings=tuple(changed))


@functools.cache
def slides(episodes: int = EPISODES, *, robot: bool = False, bang: bool = False) -> Log:
    """Two people steer the slider to its goals, each in their own way; ``bang`` pushes hard in x."""
    made = [_slide(np.random.default_rng([SEED, i]), PEOPLE[i % 2], bang=bang) for i in range(episodes)]
    return Log(
        recordings=tuple(made),
        observation=tuple(name for name, _ in slider.OBSERVATION),
        units={**dict(slider.OBSERVATION), **dict.fromkeys(slider.ACTION, "1")},
        action=slider.ACTION,
        bounds=(-1.0, 1.0),
        rate_hz=slider.RATE_HZ,
        robot=slider.__name__ if robot else None,
    )


@functools.cache
def swings(episodes: int = 16, steps: int = 100) -> Log:
    """A pendulum pumped up by torques of up to 2 Nm (the equations of gymnasium's Pendulum-v1); it never ends."""
    made = [_swing(np.random.default_rng([SEED + 1, i]), steps) for i in range(episodes)]
    names = ("cos", "sin", "speed")
    return Log(
        recordings=tuple(made),
        observation=names,
        units={"cos": "1", "sin": "1", "speed": "rad/s", "torque": "Nm"},
        action=("torque",),
        bounds=(-2.0, 2.0),
        rate_hz=20.0,
    )


@functools.cache
def picks(expert: int = 16, recovery: int = 8) -> Log:
    """Scripted operators at the simulated Fetch."""
    from offline_to_online.robots import fetch_pick_and_place as fetch
    from offline_to_online.robots._recording import record_log

    made = []
    for episode in record_log(fetch, {"expert": expert, "recovery": recovery}, SEED):
        last = np.arange(len(episode)) == len(episode) - 1
        made.append(
            Recording(
                observations=episode.observations,
                actions=episode.actions,
                rewards=episode.rewards,
                terminals=last & episode.terminated,
                timeouts=last & episode.truncated,
                successes=episode.rewards > -0.5,
                times=np.arange(len(episode) + 1) / fetch.SPEC.control_rate_hz,
                operator=episode.operator,
                seed=episode.seed,
            )
        )
    return Log(
        recordings=tuple(made),
        observation=fetch.SPEC.observation.names,
        units={d.name: d.unit for d in (*fetch.SPEC.observation.dimensions, *fetch.SPEC.action.dimensions)},
        action=fetch.SPEC.action.names,
        bounds=(-1.0, 1.0),
        rate_hz=fetch.SPEC.control_rate_hz,
        robot="fetch_pick_and_place",
    )


def _slide(rng: np.random.Generator, operator: str, *, bang: bool) -> Recording:
    place, goal = rng.uniform(-slider.REACH_M, slider.REACH_M, (2, 2))
    facing, stiffness = rng.uniform(-1.0, 1.0), 0.75 if operator == "anna" else 0.5
    state = np.array([*place, rng.uniform(-1.0, 1.0), 0.0, 0.0, 0.0, *goal])
    seen, done = [state], list[Array]()
    while len(done) < slider.HORIZON and np.linalg.norm(state[:2] - goal) >= slider.REACHED_M:
        wobble = 0.2 * np.sin(0.4 * len(done) + np.arange(3))
        meant = np.append(stiffness * (goal - state[:2]) - 0.15 * state[3:5], facing - state[2]) + wobble
        strength = np.array([20.0 if bang else 1.0, 1.0, 1.0])
        action = np.clip(strength * (meant + rng.normal(0, 0.15, 3)), -1.0, 1.0)
        state = slider.advance(state, action, rng.normal(0, (0.01, 0.01, 0.02)))
        done.append(action)
        seen.append(state)
    observations = np.array(seen, dtype=np.float32)
    labels = slider.label(observations, np.array(done))
    return _recorded(rng, observations, np.array(done), labels.rewards, 20.0, operator, success=labels.success)


def _swing(rng: np.random.Generator, steps: int) -> Recording:
    angle, speed = rng.uniform(-np.pi, np.pi), rng.uniform(-1.0, 1.0)
    seen, done, rewards = [(angle, speed)], list[list[float]](), list[float]()
    for _ in range(steps):
        # Pumps energy while there is too little of it, and takes some out again where there is too much.
        lacking = 10.0 - (0.5 * speed**2 / 3 + 5.0 * (1 + np.cos(angle)))
        torque = float(np.clip(0.3 * lacking * np.sign(speed) + rng.normal(0, 0.5), -1.99, 1.99))
        rewards.append(-float((np.mod(angle + np.pi, 2 * np.pi) - np.pi) ** 2 + 0.1 * speed**2 + 0.001 * torque**2))
        speed = float(np.clip(speed + 0.05 * (15.0 * np.sin(angle) + 3.0 * torque) + rng.normal(0, 0.01), -8, 8))
        angle += 0.05 * speed
        seen.append((angle, speed))
        done.append([torque])
    observations = np.array([(np.cos(a), np.sin(a), s) for a, s in seen], dtype=np.float32)
    return _recorded(rng, observations, np.array(done), np.array(rewards), 20.0, "script", success=None)


def _recorded(
    rng: np.random.Generator,
    observations: Array,
    actions: Array,
    rewards: Array,
    rate_hz: float,
    operator: str,
    *,
    success: bool | None,
) -> Recording:
    last = np.arange(len(actions)) == len(actions) - 1
    # A recorder's clock trembles by a few percent of a step.
    times = (np.arange(len(observations)) + rng.uniform(-0.03, 0.03, len(observations))) / rate_hz
    return Recording(
        observations=observations,
        actions=actions.astype(np.float32),
        rewards=rewards.astype(np.float32),
        terminals=last & bool(success),
        timeouts=last & (not success),
        successes=last & bool(success),
        times=times - times[0],
        operator=operator,
        seed=int(rng.integers(2**31)),
    )
