"""One episode of one policy on one task, under the guard, with everything that was decided on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.dataset.store import read_episode, write_episode
from offline_to_online.errors import DataError, EmergencyStopError, PolicyError, RobotError
from offline_to_online.evaluation.failures import classify
from offline_to_online.evaluation.guard import Decision, Guard, Safer
from offline_to_online.robots import Robot, Step, Task, episode_outcome

Person = Callable[[Array], Array | None]
Stop = Callable[[], str]
STEP_COLUMNS = ("proposed", "clipped", "outside_support", "guard_stop", "takeover", "support_score")
# What files call it that were written while the score was a distance.
FORMER_SCORE = "distance"
STOPPED = "emergency_stop"


class Acts(Protocol):
    """A policy. ``history`` is h, ``chunk`` is c; both are 1 for networks that see one step and command one.

    Observations come as (N, h * O), oldest first, the first of an episode repeated until there are h; actions
    leave as (N, c * A), to be executed one after another before the policy is asked again.
    """

    @property
    def history(self) -> int:
        """How many of the latest observations it sees."""

    @property
    def chunk(self) -> int:
        """How many actions it commands at once."""

    def reset(self) -> None:
        """A new episode begins."""

    def act(self, observations: Array) -> Array:
        """The greedy actions."""

    def explore(self, observations: Array, rng: np.random.Generator) -> Array:
        """Actions drawn for exploration."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rollout:
    """An episode and what the guard and people did to it.

    Attributes:
        task: what was asked.
        episode: what was executed; ``episode.intervened`` marks the steps of guard stops and takeovers.
        proposed: float32 (T, A), what the policy wanted.
        clipped, outside_support, guard_stop, takeover: bool (T,).
        support_score: float32 (T,), of the proposal inside bounds and rate, as the guard compared it with its
            thresholds; NaN where no support is known.
        failure: the robot's kind of failure, "" for a success.
        emergency_stop: who or what stopped the robot after the last step; "" where nobody did. Such an episode failed.
    """

    task: Task
    episode: Episode
    proposed: Array
    clipped: Array
    outside_support: Array
    guard_stop: Array
    takeover: Array
    support_score: Array
    failure: str
    emergency_stop: str = ""

    @property
    def interventions(self) -> int:
        """Steps in which the guard or a person acted instead of the policy; an emergency stop is one more."""
        return int(np.sum(self.guard_stop | self.takeover)) + bool(self.emergency_stop)

    @property
    def support_drift(self) -> float:
        """Share of steps outside the step threshold, in [0, 1]."""
        return float(np.mean(self.outside_support))

    @property
    def cost(self) -> float:
        """c(tau), the robot's constraint cost of the episode."""
        return float(np.sum(self.episode.cost, dtype=np.float64))

    @property
    def certified_success(self) -> bool:
        """A success without an intervention."""
        return self.episode.success and self.interventions == 0


def run_episode(
    robot: Robot,
    module: ModuleType,
    policy: Acts,
    task: Task,
    guard: Guard,
    *,
    rng: np.random.Generator | None,
    operator: str,
    person: Person | None = None,
    stop: Stop | None = None,
) -> Rollout:
    """Play one task to its end, or to the robot's horizon.

    Args:
        robot: connected.
        module: its robot module.
        policy: who proposes.
        task: the reset.
        guard: who decides what is executed; reset here.
        rng: given, the policy explores, and its greedy action is what the guard may execute instead.
        operator: the name that the episode carries (``champion``, ``bc`` ...).
        person: sees each observation and returns an action to take over the step, or None. A robot that people can
            take hold of says so itself, in ``Step.takeover``.
        stop: asked before the reset and before every control step: who or what wants the robot stopped, or "". The
            robot may also say so itself, in ``Step.stopped``.

    Raises:
        EmergencyStopError: it was stopped; its ``rollout`` is what had been executed until then.
        PolicyError: an action that is not finite or has the wrong size.
        RobotError: the robot failed, or an observation is not finite.

    Whatever is raised on the way, an interrupt from the keyboard too, the robot is stopped first.
    """
    policy.reset()
    guard.reset()
    tape = _Tape(task=task, operator=operator)
    try:
        _demand_no_stop(stop() if stop else "", tape)
        observation = _seen(robot.reset(task), module)
        tape.observations.append(observation)
        proposals = _Proposals(policy, observation, module.SPEC.action.size, rng)
        for _ in range(module.SPEC.horizon):
            proposed, safer = proposals.next(observation)
            decision = guard.check(observation, proposed, safer)
            taken = person(observation) if person else None
            action = decision.executed if taken is None else guard.took_over(taken)
            _demand_no_stop(stop() if stop else "", tape)
            step = robot.step(action)
            if step.takeover is not None:
                taken = action = guard.took_over(step.takeover)
            observation = _seen(step.observation, module)
            tape.record(proposed, decision, action, taken is not None, step, observation)
            _demand_no_stop(step.stopped, tape)
            if step.terminated or step.truncated:
                break
    except EmergencyStopError as stopped:
        robot.stop()
        if tape.steps:
            stopped.rollout = tape.rollout(module, emergency_stop=stopped.what)
        raise
    except BaseException:
        robot.stop()
        raise
    return tape.rollout(module)


def _demand_no_stop(reason: str, tape: _Tape) -> None:
    if reason:
        raise EmergencyStopError(
            reason,
            where=f"after {len(tape.steps)} control steps of task {tape.task.seed}",
            limit="the robot was stopped",
            remedy="see that all is well, and start again",
        )


class _Proposals:
    """What a policy proposes at each step: it is asked once a chunk, with a window of its history."""

    def __init__(self, policy: Acts, first: Array, action_size: int, rng: np.random.Generator | None) -> None:
        self._policy, self._size, self._rng = policy, action_size, rng
        self._window = [first] * policy.history
        self._planned: list[Array] = []
        self._greedy: list[Array] | None = None
        self._asked_with = first

    def next(self, observation: Array) -> tuple[Array, Safer | None]:
        """The action for this step, float32 (A,), and the greedy one in its place where the policy explores."""
        self._window = [*self._window[1:], observation]
        if not self._planned:
            self._asked_with = np.concatenate(self._window)[None]
            self._greedy = None
            self._planned = self._actions(self._ask())
        index = self._policy.chunk - len(self._planned)
        safer = None if self._rng is None else lambda: self._greedy_action(index)
        return self._planned.pop(0), safer

    def _ask(self) -> Array:
        if self._rng is None:
            return self._policy.act(self._asked_with)
        return self._policy.explore(self._asked_with, self._rng)

    def _greedy_action(self, index: int) -> Array:
        if self._greedy is None:
            self._greedy = self._actions(self._policy.act(self._asked_with))
        return self._greedy[index]

    def _actions(self, answer: Array) -> list[Array]:
        shape = (self._policy.chunk, self._size)
        if answer.size != shape[0] * shape[1]:
            raise PolicyError(
                f"the policy commands {answer.size} numbers at once",
                limit=f"{shape[0]} actions of {shape[1]} dimensions",
                remedy="use a policy that was trained for this robot",
            )
        return list(np.asarray(answer, dtype=np.float32).reshape(shape))


@dataclass(kw_only=True)
class _Tape:
    """What an episode has left so far."""

    task: Task
    operator: str
    observations: list[Array] = field(default_factory=list)
    proposed: list[Array] = field(default_factory=list)
    executed: list[Array] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    takeover: list[bool] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def record(
        self, proposed: Array, decision: Decision, action: Array, takeover: bool, step: Step, observation: Array
    ) -> None:
        """One executed step."""
        self.proposed.append(proposed)
        self.decisions.append(decision)
        self.executed.append(action)
        self.takeover.append(takeover)
        self.steps.append(step)
        self.observations.append(observation)

    def rollout(self, module: ModuleType, *, emergency_stop: str = "") -> Rollout:
        """All of it, judged by the robot's own rules; a failure if somebody stopped it."""
        takeover = np.array(self.takeover, dtype=bool)
        # A step that a person took over was not executed by the guard's fallback: it counts once, as theirs.
        guard_stop = np.array([d.guard_stop for d in self.decisions], dtype=bool) & ~takeover
        episode = self._episode(module, guard_stop | takeover, stopped=bool(emergency_stop))
        return Rollout(
            task=self.task,
            episode=episode,
            proposed=np.stack(self.proposed).astype(np.float32),
            clipped=np.array([d.clipped for d in self.decisions], dtype=bool),
            outside_support=np.array([d.outside_support for d in self.decisions], dtype=bool),
            guard_stop=guard_stop,
            takeover=takeover,
            support_score=np.array([d.support_score for d in self.decisions], dtype=np.float32),
            failure=classify(module, episode),
            emergency_stop=emergency_stop,
        )

    def _episode(self, module: ModuleType, intervened: Array, *, stopped: bool) -> Episode:
        last = self.steps[-1]
        success, score = episode_outcome(module.SPEC, [s.success for s in self.steps], [s.score for s in self.steps])
        return Episode(
            observations=np.stack(self.observations).astype(np.float32),
            actions=np.stack(self.executed).astype(np.float32),
            rewards=np.array([s.reward for s in self.steps], dtype=np.float32),
            cost=np.array([s.cost for s in self.steps], dtype=np.float32),
            intervened=intervened,
            terminated=last.terminated,
            truncated=not last.terminated,
            operator=self.operator,
            seed=self.task.seed,
            success=success and not stopped,
            score=score,
        )


def _seen(observation: Array, module: ModuleType) -> Array:
    """An observation, float32 (O,), that a guard can judge."""
    vector = np.asarray(observation, dtype=np.float32)
    schema = module.SPEC.observation
    if vector.shape != (schema.size,):
        raise RobotError(f"an observation of shape {vector.shape}", where=module.SPEC.name, limit=f"({schema.size},)")
    if not np.isfinite(vector).all():
        broken = schema.names[int(np.argmin(np.isfinite(vector)))]
        raise RobotError(
            f"observation {broken!r} is not finite",
            where=module.SPEC.name,
            remedy="the robot was stopped; check the sensor",
        )
    return vector


def write_rollout(path: Path, rollout: Rollout) -> None:
    """Write a rollout into one Parquet file, in one step: the episode, and beside it every decision of every step.

    The task, the failure and the emergency stop are the same at every step; as columns they need no second file and
    next to no room.
    """
    steps = len(rollout.episode)
    extra = {name: getattr(rollout, name) for name in STEP_COLUMNS}
    extra["task"] = np.full(steps, json.dumps(rollout.task.to_json(), sort_keys=True))
    extra["failure"] = np.full(steps, rollout.failure)
    if rollout.emergency_stop:
        extra[STOPPED] = np.full(steps, rollout.emergency_stop)
    write_episode(path, rollout.episode, extra)


def read_rollout(path: Path) -> Rollout:
    """The inverse of ``write_rollout``; of older files too, whose score stands in a column ``distance``.

    Raises:
        DataError: missing, broken, changed, or an episode without its rollout.
    """
    episode, extra = read_episode(path)
    if FORMER_SCORE in extra:
        extra.setdefault("support_score", extra[FORMER_SCORE])
    lacking = [name for name in (*STEP_COLUMNS, "task", "failure") if name not in extra]
    if lacking:
        raise DataError(f"no column {', '.join(lacking)}", where=str(path), limit="an episode written with its rollout")
    task, failure = Task.from_json(json.loads(str(extra["task"][0]))), str(extra["failure"][0])
    stopped = str(extra[STOPPED][0]) if STOPPED in extra else ""
    columns = {name: extra[name] for name in STEP_COLUMNS}
    return Rollout(task=task, episode=episode, failure=failure, emergency_stop=stopped, **columns)
