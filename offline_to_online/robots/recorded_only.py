"""A robot that nobody has written a plug-in for yet: known from its manifest and its recordings only.

``robot: recorded_only`` lets a stranger's data be validated, its support fitted, policies trained and audited
(``dvc repro audit``). Nothing can be played, so nothing can be evaluated, handed off or fine-tuned online until
somebody writes ``robots/<name>.py``. Rewards, success and cost are those that the data logs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.spec import Array, SafetyLimits
from offline_to_online.errors import ManifestError, RobotError
from offline_to_online.robots import OperatorFactory, RobotSpec
from offline_to_online.robots._masks import at_bounds, by_name, some

NAME = "recorded_only"


@dataclass(frozen=True)
class RecordedRobot:
    """What a manifest tells of a robot, in the shape of a robot's module; it has no ``label``."""

    SPEC: RobotSpec
    OPERATORS: Mapping[str, OperatorFactory] = field(default_factory=lambda: MappingProxyType({}))

    def regions(self, observations: Array, actions: Array) -> dict[str, Array]:
        """Bool masks (N,) over observations (N, O) and actions (N, A): which command stands at a bound."""
        at_bound = at_bounds(np.asarray(actions), self.SPEC.action)
        named = {name: at_bound[:, i] for i, name in enumerate(self.SPEC.action.names)}
        return by_name({"saturation": {**named, "none": ~some(at_bound)}})

    def make(self, dynamics: Any) -> NoReturn:
        """There is nothing to connect to.

        Raises:
            RobotError: always.
        """
        raise nothing_to_play(self.SPEC.name)


def described_by(manifest: Manifest) -> RecordedRobot:
    """The robot of a data set.

    Raises:
        ManifestError: the manifest wants rewards that only a robot's plug-in could give.
    """
    if manifest.reward_source == "robot":
        raise ManifestError(
            "reward_source is 'robot'",
            where=f"manifest {manifest.name}",
            limit=f"{NAME} knows no reward of its own",
            remedy="say reward_source: file, or write the robot's plug-in",
        )
    return RecordedRobot(
        SPEC=RobotSpec(
            name=NAME,
            body=manifest.robot_body,
            sensors=manifest.sensors,
            action=manifest.action,
            observation=manifest.observation,
            limits=SafetyLimits(
                max_action_change=(float("inf"),) * manifest.action.size, max_episode_cost=float("inf")
            ),
            control_rate_hz=manifest.control_rate_hz,
            horizon=manifest.episode_horizon,
            reward_meaning="as logged",
            cost_meaning="as logged, else none",
            score_meaning="as logged",
            success_rule="last",
            failures=(),
            regions={"saturation": (*manifest.action.names, "none")},
            dynamics=(),
            sensor_dimensions=_by_sensor(manifest.observation.names),
        )
    )


def _by_sensor(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Dimensions by what stands before their last dot, as adoption names those of several sensors; else each alone."""
    sensors = [name.rpartition(".")[0] or name for name in names]
    return {one: tuple(n for n, s in zip(names, sensors, strict=True) if s == one) for one in dict.fromkeys(sensors)}


def make(dynamics: Any) -> NoReturn:
    """There is nothing to connect to.

    Raises:
        RobotError: always.
    """
    raise nothing_to_play(NAME)


def draw_task(rng: Any) -> NoReturn:
    """There is nothing to reset.

    Raises:
        RobotError: always.
    """
    raise nothing_to_play(NAME)


def nothing_to_play(name: str) -> RobotError:
    """The one line for whoever tries to play this robot."""
    return RobotError(
        "this robot is known from its recordings only, and cannot be played",
        where=f"robot {name}",
        limit="validate, support, train and audit work without it: dvc repro audit",
        remedy="write its plug-in in offline_to_online/robots, and name it in params.yaml and the manifest",
    )
