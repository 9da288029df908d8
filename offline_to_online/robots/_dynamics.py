"""What a changed robot does to a command on its way to the motors, shared by the simulators."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import fields

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import RobotError
from offline_to_online.robots import Dynamics, RobotSpec

MAX_DELAY_STEPS = 20


def check_dynamics(dynamics: Dynamics, spec: RobotSpec) -> Dynamics:
    """The same dynamics, once known to be some that this robot can have.

    Raises:
        RobotError: a value that is not finite or out of range, or a change this robot does not support.
    """
    for change in fields(Dynamics):
        value, where = getattr(dynamics, change.name), f"robot {spec.name}, dynamics.{change.name}"
        if not math.isfinite(value):
            raise RobotError(f"{change.name} {value}", where=where, limit="a finite number", remedy="mend the value")
        if value != change.default and change.name not in spec.dynamics:
            raise RobotError(
                f"this robot has no {change.name} to change",
                where=where,
                limit=f"it has {', '.join(spec.dynamics)}",
                remedy=f"leave {change.name} at {change.default}",
            )
    if dynamics.action_gain <= 0 or dynamics.friction <= 0:
        raise RobotError(
            "a gain or friction that is not above 0", where=f"robot {spec.name}", remedy="give a multiple such as 0.5"
        )
    if (
        dynamics.action_delay_steps != int(dynamics.action_delay_steps)
        or not 0 <= dynamics.action_delay_steps <= MAX_DELAY_STEPS
    ):
        raise RobotError(
            f"action_delay_steps {dynamics.action_delay_steps}",
            where=f"robot {spec.name}",
            limit=f"a whole number from 0 to {MAX_DELAY_STEPS}",
            remedy="mend the value",
        )
    return dynamics


class DelayLine:
    """Commands that reach the motors some control steps late; until the first arrives, the robot stands still."""

    def __init__(self, steps: int) -> None:
        self._steps = int(steps)
        self._waiting: deque[Array] = deque()

    def restart(self, still: Array) -> None:
        """Forget what was on its way; fill the line with the command that stands still, shape (A,)."""
        self._waiting = deque(np.array(still) for _ in range(self._steps))

    def pass_through(self, action: Array) -> Array:
        """Put one command in, shape (A,), and take the one out that arrives now."""
        self._waiting.append(action)
        return self._waiting.popleft()
