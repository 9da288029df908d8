"""The physics of FetchPickAndPlace-v4 (gymnasium-robotics, MuJoCo), reset exactly and read quickly.

The observation is the environment's own (25 numbers) and the goal (3). It is read here through indices
looked up once: the environment looks every joint up by name in every step, a quarter of its time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.robots import Dynamics, Task
from offline_to_online.robots._quiet import make_environment

ENVIRONMENT = "FetchPickAndPlace-v4"
FINGERS = ("robot0:r_gripper_finger_link", "robot0:l_gripper_finger_link")


class FetchWorld:
    """One simulated Fetch at its table.

    ``action_gain`` multiplies the arm's dx, dy, dz, not the fingers; ``friction`` multiplies the sliding,
    torsional and rolling friction of the block and of both fingers.
    """

    def __init__(self, dynamics: Dynamics) -> None:
        import mujoco

        self._mujoco = mujoco
        self._environment: Any = make_environment(ENVIRONMENT, packages=("gymnasium_robotics",))
        self._model, self._data = self._environment.model, self._environment.data
        self._gain = np.array([dynamics.action_gain] * 3 + [1.0], dtype=np.float64)
        kinds = mujoco.mjtObj
        self._grip = mujoco.mj_name2id(self._model, kinds.mjOBJ_SITE, "robot0:grip")
        self._block = mujoco.mj_name2id(self._model, kinds.mjOBJ_SITE, "object0")
        joint = mujoco.mj_name2id(self._model, kinds.mjOBJ_JOINT, "object0:joint")
        self._block_qpos = int(self._model.jnt_qposadr[joint])
        fingers = [mujoco.mj_name2id(self._model, kinds.mjOBJ_JOINT, f"robot0:{s}_gripper_finger_joint") for s in "rl"]
        self._finger_qpos, self._finger_dof = self._model.jnt_qposadr[fingers], self._model.jnt_dofadr[fingers]
        for name in ("object0", *FINGERS):
            self._model.geom_friction[mujoco.mj_name2id(self._model, kinds.mjOBJ_GEOM, name)] *= dynamics.friction
        self._dt = float(self._environment.dt)
        self._goal = np.zeros(3)

    def place(self, task: Task) -> Array:
        """Everything at rest, the block flat at ``object_xy``, the goal at ``goal``."""
        self._mujoco.mj_resetData(self._model, self._data)
        self._data.time = self._environment.initial_time
        self._data.qpos[:] = self._environment.initial_qpos
        self._data.qvel[:] = self._environment.initial_qvel
        at = self._block_qpos
        self._data.qpos[at : at + 2] = task.state["object_xy"]
        self._data.qpos[at + 3 : at + 7] = (1.0, 0.0, 0.0, 0.0)
        self._goal = np.array(task.state["goal"])
        self._environment.goal = self._goal.copy()
        self._mujoco.mj_forward(self._model, self._data)
        return self._read()

    def advance(self, action: Array) -> Array:
        """One control step of 40 ms."""
        command = action.astype(np.float64) * self._gain
        self._environment._set_action(command)
        self._environment._mujoco_step(command)
        return self._read()

    def close(self) -> None:
        """Close the environment."""
        self._environment.close()

    def _read(self) -> Array:
        from gymnasium_robotics.utils.rotations import mat2euler

        data = self._data
        grip, block = data.site_xpos[self._grip], data.site_xpos[self._block]
        grip_velocity, _ = self._velocity(self._grip)
        block_velocity, block_spin = self._velocity(self._block)
        parts = (
            grip,
            block,
            block - grip,
            data.qpos[self._finger_qpos],
            mat2euler(data.site_xmat[self._block].reshape(3, 3)),
            block_velocity - grip_velocity,
            block_spin,
            grip_velocity,
            data.qvel[self._finger_dof] * self._dt,
            self._goal,
        )
        return np.concatenate(parts).astype(np.float32)

    def _velocity(self, site: int) -> tuple[Array, Array]:
        linear, angular = np.zeros((3, self._model.nv)), np.zeros((3, self._model.nv))
        self._mujoco.mj_jacSite(self._model, self._data, linear, angular, site)
        return linear @ self._data.qvel * self._dt, angular @ self._data.qvel * self._dt
