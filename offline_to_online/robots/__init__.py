"""What a robot is to this project. One file beside this one is one robot or simulator.

A robot module gives:

    SPEC: RobotSpec                            known without connecting
    make(dynamics) -> Robot                    connects, or starts the simulator
    draw_task(rng) -> Task                     one reset from the declared reset distribution
    shift_task(task) -> Task                   the same task moved outside the recorded range
    regions(observations, actions)             name -> bool mask (N,), by name what a value would hide
    failure(episode) -> str                    "" for a success, else one of SPEC.failures
    fallback(observation) -> action            what the guard executes instead: stand still
    label(observations, actions) -> Labels     the robot's own reward, cost, success of logged steps
    OPERATORS: {name: make(rng) -> Operator}   scripted operators, where it is a simulator
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from offline_to_online.dataset.spec import ActionSchema, Array, ObservationSchema, SafetyLimits


@dataclass(frozen=True, kw_only=True)
class Task:
    """One reset: the seed of the episode, and the initial state and goal by name (robot's units)."""

    seed: int
    state: Mapping[str, tuple[float, ...]]

    def to_json(self) -> dict[str, Any]:
        """``{seed, state: {name: [numbers]}}``."""
        return {"seed": self.seed, "state": {k: list(v) for k, v in sorted(self.state.items())}}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Task:
        """The inverse of ``to_json``."""
        return cls(seed=int(row["seed"]), state={k: tuple(float(x) for x in v) for k, v in row["state"].items()})


@dataclass(frozen=True, kw_only=True)
class Dynamics:
    """How the robot in front of us differs from the one that was logged. The defaults change nothing."""

    action_gain: float = 1.0
    action_delay_steps: int = 0
    sensor_bias: float = 0.0
    friction: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """What came back from one control step.

    ``observation`` float32 (O,); ``cost`` the constraint cost of this step; ``success`` and ``score``
    (in [0, 1]) as they stand now: an episode's are those of its last step unless the robot's
    ``SPEC.success_rule`` is ``any``. ``takeover`` float32 (A,) is what a person made the robot execute in this step in
    place of the command (what HIL-SERL's environments give as ``info["intervene_action"]``); ``stopped`` names the
    emergency stop that the robot itself made in it.
    """

    observation: Array
    reward: float
    terminated: bool
    truncated: bool
    cost: float
    success: bool
    score: float
    takeover: Array | None = None
    stopped: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """The robot's own judgement of logged steps: rewards (T,), cost (T,), and the episode's success and score."""

    rewards: Array
    cost: Array
    success: bool
    score: float


class Robot(Protocol):
    """A connected robot. One control step blocks for one control period (or simulates it)."""

    def reset(self, task: Task) -> Array:
        """Bring the robot to the task's initial state; the first observation, float32 (O,)."""

    def step(self, action: Array) -> Step:
        """Execute one action, float32 (A,)."""

    def stop(self) -> None:
        """Stop all motion at once. Safe to call at any time, more than once."""

    def close(self) -> None:
        """Disconnect."""


class Operator(Protocol):
    """Whoever acts while data is recorded: a script here, a person elsewhere."""

    def act(self, observation: Array) -> Array:
        """The next action, float32 (A,), for an observation, float32 (O,)."""


@dataclass(frozen=True, kw_only=True)
class RobotSpec:
    """All that is known of a robot without connecting to it.

    ``success_rule`` is ``last`` (the last step decides) or ``any`` (some step); ``ends_on_success`` says
    whether the robot terminates an episode at its first success. ``regions`` maps the
    name of each kind of region (``gripper_pose``, ``contact_mode``, ``saturation``, ``reset_state``)
    to the names of its regions, as ``regions()`` returns them (``kind/name``). ``drives`` maps the name of an
    action dimension to the observation dimension that a positive command moves up within the next steps, or
    toward which it pulls where commands are absolute targets; logged data is held against it.
    ``sensor_dimensions`` maps each of ``sensors`` to the observation dimensions that it gives or that are computed
    from it, every dimension under one sensor; empty where nobody knows, and each dimension then stands for itself.
    """

    name: str
    body: str
    sensors: tuple[str, ...]
    action: ActionSchema
    observation: ObservationSchema
    limits: SafetyLimits
    control_rate_hz: float
    horizon: int
    reward_meaning: str
    cost_meaning: str
    score_meaning: str
    success_rule: str
    failures: tuple[str, ...]
    regions: Mapping[str, tuple[str, ...]]
    dynamics: tuple[str, ...] = field(default=("action_gain", "action_delay_steps", "sensor_bias", "friction"))
    ends_on_success: bool = False
    drives: Mapping[str, str] = field(default_factory=dict)
    sensor_dimensions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def episode_outcome(
    spec: RobotSpec, success: Sequence[bool] | Array, score: Sequence[float] | Array
) -> tuple[bool, float]:
    """An episode's success and score from those of its steps (T,), by the robot's ``success_rule``.

    ``last``: those of the last step. ``any``: a success in some step, and the best score.
    """
    if spec.success_rule == "last":
        return bool(success[-1]), float(score[-1])
    return any(map(bool, success)), max(map(float, score))


OperatorFactory = Callable[[Any], Operator]
