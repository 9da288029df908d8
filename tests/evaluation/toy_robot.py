"""A robot on a line, small enough to reason about: one position, one step of at most 0.5, done at 1."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from offline_to_online.dataset.spec import ActionSchema, Dimension, ObservationSchema, SafetyLimits
from offline_to_online.robots import RobotSpec, Step, Task


def line(*, success_rule="last", max_change=float("inf"), horizon=6) -> SimpleNamespace:
    """A robot module; observations are (position, steps so far)."""
    spec = RobotSpec(
        name="line",
        body="a point on a line",
        sensors=("position",),
        action=ActionSchema(dimensions=(Dimension(name="move", unit="m", low=-0.5, high=0.5),)),
        observation=ObservationSchema(
            dimensions=(
                Dimension(name="position", unit="m", low=-5, high=5),
                Dimension(name="steps", unit="1", low=0, high=99),
            )
        ),
        limits=SafetyLimits(max_action_change=(max_change,), max_episode_cost=1.0),
        control_rate_hz=10.0,
        horizon=horizon,
        reward_meaning="minus the distance to 1",
        cost_meaning="1 below 0",
        score_meaning="position",
        success_rule=success_rule,
        failures=("short",),
        regions={},
    )
    return SimpleNamespace(
        SPEC=spec,
        fallback=lambda observation: np.zeros(1, dtype=np.float32),
        failure=lambda episode: "" if episode.success else "short",
    )


class Line:
    """The robot itself; ``terminates`` ends at 1, ``breaks_at`` raises in that step.

    In step ``held_at`` a person moves it back, in step ``stops_at`` it stops itself.
    """

    def __init__(
        self, *, terminates=False, breaks_at=None, error=RuntimeError, blind_at=None, held_at=None, stops_at=None
    ):
        self.terminates, self.breaks_at, self.error, self.blind_at = terminates, breaks_at, error, blind_at
        self.held_at, self.stops_at = held_at, stops_at
        self.stopped, self.steps, self.position, self.commands = 0, 0, 0.0, []

    def reset(self, task):
        self.steps, self.position = 0, float(task.state["position"][0])
        return self.seen()

    def step(self, action):
        self.steps += 1
        if self.steps == self.breaks_at:
            raise self.error("the cable came off")
        if self.steps == self.held_at:
            action = np.array([-0.25], dtype=np.float32)
        self.commands.append(float(action[0]))
        self.position += float(action[0])
        done = self.position >= 1
        return Step(
            observation=self.seen(),
            reward=-abs(1 - self.position),
            terminated=done and self.terminates,
            truncated=False,
            cost=float(self.position < 0),
            success=done,
            score=min(max(self.position, 0.0), 1.0),
            takeover=action if self.steps == self.held_at else None,
            stopped="its red button" if self.steps == self.stops_at else "",
        )

    def seen(self):
        position = np.nan if self.steps == self.blind_at else self.position
        return np.array([position, self.steps], dtype=np.float32)

    def stop(self):
        self.stopped += 1

    def close(self):
        pass


class Constant:
    """A policy that always moves alike; exploring, it moves by ``exploring``."""

    history, chunk = 1, 1

    def __init__(self, move=0.25, exploring=None):
        self.move, self.exploring, self.resets = move, exploring, 0

    def reset(self):
        self.resets += 1

    def act(self, observations):
        return np.full((len(observations), 1), self.move, dtype=np.float32)

    def explore(self, observations, rng):
        return np.full((len(observations), 1), self.exploring, dtype=np.float32)


class SpeedSupport:
    """An estimator: the faster, the farther from the data."""

    def score(self, observations, actions):
        return np.abs(actions[:, 0]).astype(np.float32)


def thresholds(step=0.3, episode=0.4) -> SimpleNamespace:
    """A calibration for ``SpeedSupport``."""
    return SimpleNamespace(step_threshold=step, episode_threshold=episode)


def task(position=0.0, seed=7) -> Task:
    """A reset of the line."""
    return Task(seed=seed, state={"position": (position,)})
