"""A disc that slides and turns on a table: the made-up robot of most recordings, as a plug-in outside the project.

Eight observations, three actions, 20 Hz; its actions drive what is observed, through inertia and friction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from offline_to_online.dataset.spec import ActionSchema, Array, Dimension, ObservationSchema, SafetyLimits
from offline_to_online.robots import Labels, RobotSpec

HORIZON, RATE_HZ, REACHED_M, REACH_M = 60, 20.0, 0.05, 1.0
FORCE, FRICTION, TURN = 8.0, 3.0, 4.0
"""Acceleration of a full push (m/s^2), its decay (1/s), and the turning speed of a full turn (rad/s)."""

OBSERVATION = (
    ("x", "m"), ("y", "m"), ("heading", "rad"), ("speed_x", "m/s"), ("speed_y", "m/s"), ("turn_rate", "rad/s"),
    ("goal_x", "m"), ("goal_y", "m"),
)  # fmt: skip
ACTION = ("push_x", "push_y", "turn")

SPEC = RobotSpec(
    name="slider",
    body="a disc on a table",
    sensors=("pose and speed of the disc", "goal position"),
    action=ActionSchema(
        out_of_bounds="clip", dimensions=tuple(Dimension(name=n, unit="1", low=-1.0, high=1.0) for n in ACTION)
    ),
    observation=ObservationSchema(
        dimensions=tuple(Dimension(name=n, unit=u, low=-20.0, high=20.0) for n, u in OBSERVATION)
    ),
    limits=SafetyLimits(max_action_change=(float("inf"),) * 3, max_episode_cost=10.0),
    control_rate_hz=RATE_HZ,
    horizon=HORIZON,
    reward_meaning="minus the distance to the goal after the step in metres, and 1 more within 5 cm of it",
    cost_meaning="none",
    score_meaning="1 minus the distance to the goal at the end in metres, in [0, 1]",
    success_rule="last",
    failures=("not_reached",),
    regions={"reset_state": ("outside_recorded_range",)},
    ends_on_success=True,
    drives={"push_x": "speed_x", "push_y": "speed_y", "turn": "turn_rate"},
)


def advance(state: Array, action: Array, noise: Array) -> Array:
    """The state (8,) one control step later, under an action (3,) within [-1, 1] and noise (3,) on its speeds."""
    step_s = 1.0 / RATE_HZ
    x, y, heading, *_ = state
    push = np.clip(action, -1.0, 1.0)
    speed = state[3:5] + step_s * (FORCE * push[:2] - FRICTION * state[3:5]) + noise[:2]
    rate = 0.5 * state[5] + 0.5 * TURN * push[2] + noise[2]
    moved = (x + step_s * speed[0], y + step_s * speed[1], heading + step_s * rate, *speed, rate)
    return np.array([*moved, *state[6:]])


def label(observations: Array, actions: Array) -> Labels:
    """The robot's own reward, cost, success and score of an episode (T+1, 8), (T, 3)."""
    left = np.linalg.norm(observations[1:, :2] - observations[1:, 6:8], axis=1)
    near = left < REACHED_M
    return Labels(
        rewards=(near - left).astype(np.float32),
        cost=np.zeros(len(actions), dtype=np.float32),
        success=bool(near[-1]),
        score=float(np.clip(1.0 - left[-1], 0.0, 1.0)),
    )


def regions(observations: Array, actions: Array) -> dict[str, Array]:
    """Bool masks (N,): whether an episode that starts here starts where none was ever recorded."""
    away = np.abs(np.asarray(observations)[:, [0, 1, 6, 7]]).max(axis=1)
    return {"reset_state/outside_recorded_range": away > REACH_M + 0.01}


def __getattr__(name: str) -> Any:
    """What else a robot's plug-in has: nobody collects with this one."""
    raise AttributeError(f"the slider has no {name}")
