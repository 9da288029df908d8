"""A simulator as a robot: one life cycle, one judge, for every simulated world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import RobotError
from offline_to_online.robots import Dynamics, Labels, RobotSpec, Step, Task, episode_outcome
from offline_to_online.robots._dynamics import DelayLine, check_dynamics


class World(Protocol):
    """Physics alone. Observations are true ones (no sensor bias), float32, shape (O,)."""

    def place(self, task: Task) -> Array:
        """Set the task's initial state exactly, whatever was played before."""

    def advance(self, action: Array) -> Array:
        """One control step under a command inside the bounds, shape (A,)."""

    def close(self) -> None:
        """Free what the simulator holds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """Every step's reward, cost, success and score, each of shape (T,)."""

    rewards: Array
    cost: Array
    success: Array
    score: Array


Judge = Callable[[Array, Array, Array], Judgement]
"""(first (O,), before (T, O), after (T, O)) -> Judgement: the one definition of reward, cost, success and score."""


def label_with(judge: Judge, spec: RobotSpec, observations: Array, actions: Array) -> Labels:
    """The judge's word on logged steps: observations (T+1, O), actions (T, A).

    Raises:
        RobotError: the shapes do not fit the robot or each other.
    """
    seen = np.asarray(observations, dtype=np.float32)
    wanted = ((len(actions) + 1, spec.observation.size), (len(actions), spec.action.size))
    found = (seen.shape, np.shape(actions))
    if found != wanted or not len(actions):
        raise RobotError(
            f"observations {found[0]} and actions {found[1]}",
            where=f"labels of {spec.name}",
            limit=f"(T+1, {spec.observation.size}) and (T, {spec.action.size}), T at least 1",
            remedy="give whole episodes of this robot",
        )
    said = judge(seen[0], seen[:-1], seen[1:])
    success, score = episode_outcome(spec, said.success, said.score)
    return Labels(
        rewards=said.rewards.astype(np.float32), cost=said.cost.astype(np.float32), success=success, score=score
    )


class SimulatedRobot:
    """The ``Robot`` protocol over a ``World``.

    Reward, cost, success and score are judged on the true state; what a policy sees passes through
    ``sense(observation, bias)``. Commands are clipped to the bounds, as the simulators themselves do.

    Raises:
        RobotError: a change of dynamics that the robot does not have.
    """

    def __init__(
        self,
        *,
        spec: RobotSpec,
        dynamics: Dynamics,
        world: Callable[[Dynamics], World],
        judge: Judge,
        sense: Callable[[Array, float], Array],
        fallback: Callable[[Array], Array],
    ) -> None:
        self._spec, self._dynamics = spec, check_dynamics(dynamics, spec)
        self._judge, self._sense, self._fallback = judge, sense, fallback
        self._world: World | None = world(dynamics)
        self._delay = DelayLine(dynamics.action_delay_steps)
        self._first = self._now = np.zeros(spec.observation.size, dtype=np.float32)
        self._steps = 0
        self._idle = "not reset yet"

    def reset(self, task: Task) -> Array:
        """Bring the simulator to the task's initial state; the first observation, float32 (O,)."""
        if self._world is None:
            raise self._refusal("closed")
        self._first = self._now = self._world.place(task)
        self._delay.restart(self._fallback(self._first))
        self._steps, self._idle = 0, ""
        return self._seen()

    def step(self, action: Array) -> Step:
        """Execute one command, float32 (A,).

        Raises:
            RobotError: the robot stands (stopped, closed, or the episode is over), or the command is no command.
        """
        if self._idle or self._world is None:
            raise self._refusal(self._idle)
        command = self._delay.pass_through(self._command(action))
        before, self._now = self._now, self._world.advance(command)
        self._steps += 1
        said = self._judge(self._first, before[None], self._now[None])
        success = bool(said.success[0])
        terminated = success and self._spec.ends_on_success
        truncated = not terminated and self._steps >= self._spec.horizon
        if terminated or truncated:
            self._idle = "the episode is over"
        return Step(
            observation=self._seen(),
            reward=float(said.rewards[0]),
            terminated=terminated,
            truncated=truncated,
            cost=float(said.cost[0]),
            success=success,
            score=float(said.score[0]),
        )

    def stop(self) -> None:
        """Stand still at once: the simulation does not advance until the next reset."""
        self._idle = self._idle if self._idle == "closed" else "stopped"

    def close(self) -> None:
        """Free the simulator; safe more than once."""
        if self._world is not None:
            self._world.close()
        self._world, self._idle = None, "closed"

    def _seen(self) -> Array:
        return self._sense(self._now.copy(), self._dynamics.sensor_bias)

    def _command(self, action: Array) -> Array:
        command = np.asarray(action, dtype=np.float32)
        if command.shape != (self._spec.action.size,) or not np.isfinite(command).all():
            raise RobotError(
                f"action of shape {command.shape}, or not finite",
                where=f"robot {self._spec.name}, step {self._steps}",
                limit=f"{self._spec.action.size} finite numbers",
                remedy="mend the policy",
            )
        return self._spec.action.clip(command)

    def _refusal(self, why: str) -> RobotError:
        remedy = "make the robot again" if why == "closed" else "reset it to a task first"
        return RobotError(f"the robot does not move: {why}", where=f"robot {self._spec.name}", remedy=remedy)
