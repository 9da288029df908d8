"""The real simulator with people around it: somebody who takes hold of it in some steps, a red button, a witness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from offline_to_online.dataset.spec import Array
from offline_to_online.robots import Dynamics, Robot, Step, Task
from offline_to_online.robots import fetch_pick_and_place as fetch

PUSH = np.array([0.0, 0.0, 0.5, 1.0], dtype=np.float32)
Happens = Callable[[int, int], None]


class HeldRobot:
    """A robot and what happens at it.

    Args:
        robot: the simulator.
        held: steps (of each episode, from 0) in which a person moves it by ``PUSH`` instead.
        button: step in which the robot stops itself, in the first episode; None never.
        happens: called with (episode, step) before each control step.
    """

    def __init__(
        self, robot: Robot, *, held: range = range(0), button: int | None = None, happens: Happens | None = None
    ) -> None:
        self._robot, self._held, self._button, self._happens = robot, held, button, happens
        self.episode, self.steps, self.stops = -1, 0, 0

    def reset(self, task: Task) -> Array:
        self.episode, self.steps = self.episode + 1, 0
        return self._robot.reset(task)

    def step(self, action: Array) -> Step:
        if self._happens:
            self._happens(self.episode, self.steps)
        by_hand = self.steps in self._held
        said = self._robot.step(PUSH if by_hand else action)
        pressed = self.episode == 0 and self.steps == self._button
        self.steps += 1
        return replace(said, takeover=PUSH if by_hand else None, stopped="the red button" if pressed else "")

    def stop(self) -> None:
        self.stops += 1
        self._robot.stop()

    def close(self) -> None:
        self._robot.close()


def hold(monkeypatch: pytest.MonkeyPatch, **around: object) -> list[HeldRobot]:
    """Everybody who connects to Fetch from now on connects to one that is held; those that were."""
    made: list[HeldRobot] = []
    make = fetch.make

    def held(dynamics: Dynamics) -> HeldRobot:
        made.append(HeldRobot(make(dynamics), **around))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(fetch, "make", held)
    return made
