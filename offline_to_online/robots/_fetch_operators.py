"""Three people at a picking station, scripted: one knows, one drops and picks up again, one grasps beside the block.

They see the policy's 28 numbers and nothing else. Each has unsteady hands, so that what they record
is a region and not a line.
"""

from __future__ import annotations

import numpy as np

from offline_to_online.dataset.spec import Array

HOVER_M = 0.06
STEP_M = 0.05
"""The gripper moves at most this far per command of 1 (FetchEnv: position control scaled by 0.05)."""

LOW_Z, STANDS_M = 0.425, 0.001
"""A gripper below LOW_Z that moved less than this in a step stands on the table and cannot go lower."""

LOST_Z = 0.38
"""A block below this has left the table; nobody reaches for it."""

UNSTEADY = 0.07
"""Standard deviation of its commands around what it means."""

BESIDE_M, NEAR_M, EMPTY_M = 0.015, 0.012, 0.07
"""It descends where less than BESIDE_M aside, closes within NEAR_M of the grasp, and misses a block EMPTY_M away."""

GAIN = 0.5
"""Share of the remaining way that it commands per step: careful hands, slower than the arm could."""

GRASP_ABOVE_M = 0.014
"""It grasps this far above the middle of the block, so that the fingers stay off the table."""

RIGHT_SHARE, TOO_HIGH_M, TOO_FAR_M, BESIDE_STD_M = 0.1, (0.02, 0.05), (0.02, 0.05), 0.005
"""How the biased operator errs: how often not at all, else by how much upwards and away (metres), how unsteadily."""


class Picker:
    """Hover, descend, close, carry; from the observation, with a memory only of how long it has been closing.

    Args:
        rng: its own random numbers.
        offset_m: where it believes the block to be, beside where it is, (x, y, z).
        drops_at_share: it opens its fingers once after this share of the way to the goal; none never does.
        looks: whether it notices that its fingers hold nothing, and tries again.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        offset_m: Array | None = None,
        drops_at_share: float | None = None,
        looks: bool = True,
    ) -> None:
        self._rng, self._looks = rng, looks
        self._offset = np.zeros(3) if offset_m is None else np.array(offset_m)
        self._drops_at, self._opening = drops_at_share, 0
        self._closing = 0
        self._carry_m = 0.0

    def act(self, observation: Array) -> Array:
        """The next command, float32 (4,), for an observation (28,)."""
        gripper, block, goal = observation[:3], observation[3:6] + self._offset, observation[25:28]
        stands = bool(observation[2] < LOW_Z and abs(observation[22]) < STANDS_M)
        move, fingers = self._plan(gripper, block, goal, stands)
        arm = np.clip(GAIN * move / STEP_M, -1, 1) + self._rng.normal(0, UNSTEADY, 3)
        command: Array = np.clip(np.append(arm, fingers), -1, 1).astype(np.float32)
        return command

    def _plan(self, gripper: Array, block: Array, goal: Array, stands: bool) -> tuple[Array, float]:
        away = block - gripper
        if block[2] - self._offset[2] < LOST_Z:
            return np.zeros(3), 1.0
        if self._opening > 0:
            self._opening -= 1
            return np.array([0.0, 0.0, 0.05]), 1.0
        if self._closing == 0:
            return self._approach(away, stands)
        self._closing += 1
        if self._looks and np.linalg.norm(away - self._offset) > EMPTY_M:
            self._closing = 0
            return np.array([0.0, 0.0, 0.05]), 1.0
        if self._closing <= 3:
            return away + np.array([0.0, 0.0, GRASP_ABOVE_M]), -1.0
        return self._carry(goal, block - self._offset if self._looks else gripper)

    def _approach(self, away: Array, stands: bool) -> tuple[Array, float]:
        """Above the block while beside it, then down onto it; close once there, or once on the table."""
        if float(np.linalg.norm(away[:2])) > BESIDE_M:
            return away + np.array([0.0, 0.0, HOVER_M]), 1.0
        down = away + np.array([0.0, 0.0, GRASP_ABOVE_M])
        self._closing = int(abs(down[2]) < NEAR_M or stands)
        return down, 1.0

    def _carry(self, goal: Array, carried: Array) -> tuple[Array, float]:
        left = float(np.linalg.norm(goal - carried))
        self._carry_m = max(self._carry_m, left)
        if self._drops_at is not None and left < (1 - self._drops_at) * self._carry_m:
            self._drops_at, self._closing, self._opening, self._carry_m = None, 0, 3, 0.0
            return np.array([0.0, 0.0, 0.02]), 1.0
        return goal - carried, -1.0


def expert(rng: np.random.Generator) -> Picker:
    """Picks and delivers."""
    return Picker(rng)


def recovery(rng: np.random.Generator) -> Picker:
    """Drops the block once on the way, and picks it up again."""
    return Picker(rng, drops_at_share=float(rng.uniform(0.05, 0.2)))


def biased(rng: np.random.Generator) -> Picker:
    """Looks through a camera that is out of true: sees the block too high and too far, and never looks again.

    Its error is systematic on purpose: errors to all sides would cancel in whoever imitates it. And it errs
    where the others are right, in the states over the block, so that imitation closes the fingers half.
    """
    aside = rng.normal(0, BESIDE_STD_M, 2)
    if rng.random() < RIGHT_SHARE:
        return Picker(rng, offset_m=np.array([*aside, 0.0]), looks=False)
    up, far = rng.uniform(*TOO_HIGH_M), rng.uniform(*TOO_FAR_M)
    return Picker(rng, offset_m=np.array([aside[0] + far, aside[1], up]), looks=False)
