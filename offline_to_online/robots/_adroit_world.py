"""The physics of AdroitHandDoor-v1 (gymnasium-robotics, MuJoCo), and what its 28 motors command."""

from __future__ import annotations

from typing import Any

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.robots import Dynamics, Task
from offline_to_online.robots._quiet import make_environment

ENVIRONMENT = "AdroitHandDoor-v1"
_FINGER = ((-0.44, 0.44), (0.0, 1.6), (0.0, 1.6), (0.0, 1.6))
MOTORS: tuple[tuple[str, float, float], ...] = (
    ("ARTz", -0.3, 0.5),
    ("ARRx", -0.75, 0.75),
    ("ARRy", -0.75, 0.75),
    ("ARRz", -1.0, 2.0),
    ("WRJ1", -0.524, 0.175),
    ("WRJ0", -0.79, 0.61),
    *((f"{f}FJ{3 - i}", low, high) for f in "FMR" for i, (low, high) in enumerate(_FINGER)),
    ("LFJ4", 0.0, 0.7),
    *((f"LFJ{3 - i}", low, high) for i, (low, high) in enumerate(_FINGER)),
    ("THJ4", -1.0, 1.0),
    ("THJ3", 0.0, 1.3),
    ("THJ2", -0.26, 0.26),
    ("THJ1", -0.52, 0.52),
    ("THJ0", -1.571, 0.0),
)
"""Each motor's joint and its command range: metres for ARTz, rad for the others."""

LOW, HIGH = np.array([m[1] for m in MOTORS]), np.array([m[2] for m in MOTORS])
ARM_MOTORS = 4
ARM_COMMAND_PER_POSITION = 0.4
"""The arm's motors pull with 500 * command - 200 * position, so that they rest at 2.5 times the command."""

ARM_SAG = np.array([0.0, 0.075, 0.0, 0.0])
"""How far gravity pulls the arm's joints from where their command would hold them (measured in two poses)."""

PALM_Y_AT_REST = -0.2


def standing_still(joints: Array) -> Array:
    """The command in [-1, 1] under which joints (28,) stay where they are, shape (28,)."""
    command = np.array(joints, dtype=np.float64)
    command[:ARM_MOTORS] = ARM_COMMAND_PER_POSITION * (command[:ARM_MOTORS] - ARM_SAG)
    scaled: Array = np.clip((command - (LOW + HIGH) / 2) / ((HIGH - LOW) / 2), -1, 1)
    return scaled


class AdroitDoorWorld:
    """One simulated hand before a door.

    Commands are absolute joint targets, so ``action_gain`` scales the way from where the joints are to the
    target; ``friction`` multiplies every contact's friction.
    """

    def __init__(self, dynamics: Dynamics) -> None:
        self._environment: Any = make_environment(ENVIRONMENT, packages=("gymnasium_robotics",), reward_type="sparse")
        self._environment.model.geom_friction[:] *= dynamics.friction
        self._gain = dynamics.action_gain

    def place(self, task: Task) -> Array:
        """The hand at rest in its zero pose, the closed door at ``door_body_pos``."""
        import mujoco

        environment = self._environment
        mujoco.mj_resetData(environment.model, environment.data)
        environment.model.body_pos[environment.door_body_id] = task.state["door_body_pos"]
        environment.set_state(environment.init_qpos, environment.init_qvel)
        return np.asarray(environment._get_obs(), dtype=np.float32)

    def advance(self, action: Array) -> Array:
        """One control step of 10 ms."""
        command = action.astype(np.float64)
        if self._gain != 1.0:
            still = standing_still(self._environment.data.qpos[: len(MOTORS)])
            command = still + self._gain * (command - still)
        return np.asarray(self._environment.step(command)[0], dtype=np.float32)

    def close(self) -> None:
        """Close the environment."""
        self._environment.close()
