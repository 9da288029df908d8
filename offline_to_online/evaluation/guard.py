"""What stands between a policy's proposal and the robot: bounds, rate, and measured support."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import PolicyError
from offline_to_online.robots import RobotSpec

Safer = Callable[[], Array]


class MeasuresSupport(Protocol):
    """What the guard asks of a support estimator."""

    def score(self, observations: Array, actions: Array) -> Array:
        """How far outside the logged data observations (N, O) with actions (N, A) lie, (N,): higher is farther."""


class HasThresholds(Protocol):
    """What the guard asks of a calibration."""

    @property
    def step_threshold(self) -> float:
        """Clean episodes spend at most alpha of their steps beyond it on average."""

    @property
    def episode_threshold(self) -> float:
        """At most alpha of clean episodes ever cross it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Decision:
    """What the guard made of one proposed action.

    Attributes:
        executed: float32 (A,), what the robot is to execute.
        clipped: the proposal lay outside the bounds or the rate, and was brought back.
        outside_support: the proposal, inside bounds and rate, lies beyond the step threshold.
        guard_stop: it lies beyond the episode threshold; ``executed`` is something else.
        support_score: how far outside the logged data it lies, the number that both thresholds are set on; NaN
            where no support is known.
    """

    executed: Array
    clipped: bool
    outside_support: bool
    guard_stop: bool
    support_score: float


def legal(proposed: Array, last: Array | None, spec: RobotSpec) -> Array:
    """Actions brought inside the robot's bounds, and inside its rate relative to the actions executed last.

    Args:
        proposed: (..., A).
        last: what was executed in the step before, (..., A); None for the first action of an episode, which has no
            rate.
        spec: the robot's bounds and rate.
    """
    action: Array = np.minimum(np.maximum(proposed, spec.action.low), spec.action.high)
    if last is not None:
        change = np.asarray(spec.limits.max_action_change, dtype=np.float32)
        action = np.minimum(np.maximum(action, last - change), last + change)
    return action


class Guard:
    """Checks every action before a robot executes it.

    Args:
        module: the robot module; its SPEC gives bounds and rate, its ``fallback`` what is executed on a stop.
        estimator: the support estimator, or None: then only bounds and rate are held.
        calibration: the thresholds that belong to it.

    Bounds and rate come first, because they decide what would be executed; the support score is that of the action so
    clipped. The rate is relative to the action executed last, whoever chose it.
    """

    def __init__(
        self, module: ModuleType, estimator: MeasuresSupport | None = None, calibration: HasThresholds | None = None
    ) -> None:
        self._fallback: Callable[[Array], Array] = module.fallback
        self._spec: RobotSpec = module.SPEC
        self._estimator = estimator
        self._step = calibration.step_threshold if calibration else math.inf
        self._episode = calibration.episode_threshold if calibration else math.inf
        self._last: Array | None = None

    def reset(self) -> None:
        """Forget the last episode: the first action of an episode has no rate."""
        self._last = None

    def check(self, observation: Array, proposed: Array, safer: Safer | None = None) -> Decision:
        """Decide what to execute.

        Args:
            observation: float32 (O,), the latest.
            proposed: (A,), what the policy wants.
            safer: asked only on a guard stop; offers another action (an exploring policy's own greedy one), which
                is executed if it lies inside the episode threshold. Otherwise the robot's fallback is.

        Raises:
            PolicyError: an action of the wrong size, or not finite; nothing may be executed.
        """
        action, clipped = self._legal(proposed)
        score = self._score(observation, action)
        # Written as "not within", so that a score that is not a number counts as outside.
        known = self._estimator is not None
        outside = known and not score <= self._step
        stop = known and not score <= self._episode
        executed = self._instead(observation, safer) if stop else action
        self._last = executed
        return Decision(
            executed=executed, clipped=clipped, outside_support=outside, guard_stop=stop, support_score=score
        )

    def took_over(self, action: Array) -> Array:
        """A person's action, brought inside the bounds (not the rate: a person may need to act at once)."""
        self._last = self._spec.action.clip(self._sound(action, "a person's"))
        return self._last

    def _instead(self, observation: Array, safer: Safer | None) -> Array:
        if safer is not None:
            action, _ = self._legal(safer())
            if self._score(observation, action) <= self._episode:
                return action
        # Not held to the rate: standing still is what the robot can do safely from anywhere.
        return np.asarray(self._spec.action.clip(np.asarray(self._fallback(observation), dtype=np.float32)))

    def _legal(self, proposed: Array) -> tuple[Array, bool]:
        action = self._sound(proposed, "the policy's")
        executable = legal(action, self._last, self._spec)
        return executable, bool((executable != action).any())

    def _sound(self, action: Array, whose: str) -> Array:
        vector = np.asarray(action, dtype=np.float32)
        if vector.shape != (self._spec.action.size,) or not np.isfinite(vector).all():
            raise PolicyError(
                f"{whose} action is {np.array2string(vector, threshold=8)}",
                limit=f"{self._spec.action.size} finite numbers",
                remedy="nothing was executed; train the policy again, for this robot",
            )
        return vector

    def _score(self, observation: Array, action: Array) -> float:
        if self._estimator is None:
            return math.nan
        return float(self._estimator.score(observation[None], action[None])[0])
