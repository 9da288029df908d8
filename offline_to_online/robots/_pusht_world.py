"""The physics of gym_pusht/PushT-v0 (pymunk), set exactly, and the geometry of its T."""

from __future__ import annotations

from typing import Any

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.robots import Dynamics, Task
from offline_to_online.robots._quiet import make_environment

ENVIRONMENT = "gym_pusht/PushT-v0"
TEE = np.array([(-60, 0), (60, 0), (60, 30), (15, 30), (15, 120), (-15, 120), (-15, 30), (-60, 30)], dtype=np.float64)
"""Corners of the T in its own frame, px; its origin is the middle of the bar's outer edge."""

CENTRE_OF_GRAVITY = np.array([0.0, 45.0])
GOAL_POSE = np.array([[256.0, 256.0, np.pi / 4]])
FRAME_PX = 512.0
WALL_INNER_LOW, WALL_INNER_HIGH = 7.0, 504.0
AGENT_RADIUS_PX = 15.0


def turn(points: Array, angle: Array) -> Array:
    """Points (K, 2) turned by each angle (N,): shape (N, K, 2)."""
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y = points[:, 0], points[:, 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def tee_corners(pose: Array) -> Array:
    """The T's corners in the frame, shape (N, 8, 2), for poses (N, 3): x, y in px, angle in rad."""
    poses = np.asarray(pose, dtype=np.float64)
    return turn(TEE, poses[:, 2]) + poses[:, None, :2]


def coverage(pose: Array) -> Array:
    """Share of the goal that the T covers, shape (N,), for poses (N, 3)."""
    import shapely

    goal = shapely.polygons(tee_corners(GOAL_POSE))[0]
    shapely.prepare(goal)
    covered = shapely.area(shapely.intersection(shapely.polygons(tee_corners(pose)), goal))
    return np.asarray(covered / shapely.area(goal))


def clearance_px(agent: Array, pose: Array) -> Array:
    """Gap between the agent's disc (N, 2) and the T (N, 3), shape (N,), px; 0 or less where they touch."""
    import shapely

    tees = shapely.polygons(tee_corners(pose))
    return np.asarray(shapely.distance(shapely.points(np.asarray(agent, dtype=np.float64)), tees)) - AGENT_RADIUS_PX


class PushTWorld:
    """A disc that pushes a T over a table. ``action_gain`` scales the way from the disc to its target."""

    def __init__(self, dynamics: Dynamics) -> None:
        self._environment: Any = make_environment(ENVIRONMENT, packages=("gym_pusht",), obs_type="state")
        self._gain = dynamics.action_gain

    def place(self, task: Task) -> Array:
        """Agent at ``agent_xy``, T at ``block_pose`` (x, y, angle), both at rest.

        The environment's own ``reset_to_state`` sets the angle after the position, which turns the T about
        its centre of gravity and moves it; here the angle comes first, so that the pose is the one asked for.
        """
        self._environment._setup()
        x, y, angle = task.state["block_pose"]
        self._environment.block.angle = angle
        self._environment.block.position = (x, y)
        self._environment.agent.position = task.state["agent_xy"]
        self._environment.space.step(self._environment.dt)
        return self._read()

    def advance(self, action: Array) -> Array:
        """One control step of 100 ms."""
        agent = np.array(self._environment.agent.position)
        way = action.astype(np.float64) - agent
        target = agent + self._gain * way if self._gain != 1.0 else action.astype(np.float64)
        self._environment.step(np.clip(target, 0.0, FRAME_PX))
        return self._read()

    def close(self) -> None:
        """Close the environment."""
        self._environment.close()

    def _read(self) -> Array:
        return np.asarray(self._environment.get_obs(), dtype=np.float32)
