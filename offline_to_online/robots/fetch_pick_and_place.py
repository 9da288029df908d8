"""Fetch picks a block off a table and brings it to a goal (gymnasium-robotics FetchPickAndPlace-v4).

28 observations (the environment's 25 and the desired goal), 4 actions, 25 Hz, 50 steps, sparse reward.
A warehouse log in small: `OPERATORS` hold an expert, one who drops and recovers, and one who misjudges the block.
"""

from __future__ import annotations

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import ActionSchema, Array, Dimension, ObservationSchema, SafetyLimits
from offline_to_online.robots import Dynamics, Labels, OperatorFactory, Robot, RobotSpec, Task
from offline_to_online.robots import _fetch_operators as people
from offline_to_online.robots._masks import at_bounds, by_name, outside, some
from offline_to_online.robots._simulated import Judgement, SimulatedRobot, label_with

HOME = np.array([1.3418, 0.7491, 0.5347])
"""Where the gripper starts, metres; the environment draws block and goal around it."""

REACH_M = 0.15
"""Block (x, y) and goal (x, y) are drawn at most this far from HOME on each axis."""

RECORDED_RANGE = {
    "object_xy": ((1.1918, 0.5991), (1.4918, 0.8991)),
    "goal": ((1.1918, 0.5991, 0.42), (1.4918, 0.8991, 0.88)),
}
BLOCK_REST_Z, GOAL_RISE_M = 0.42489, 0.45
NEAREST_BLOCK_M = 0.1
TOLERANCE_M = 0.05
OFF_TABLE_Z, SQUEEZED_Z = 0.38, 0.41
"""The block's centre rests at 0.425 m: below 0.41 m it is squeezed into the table, below 0.38 m it has left it."""

PRESSED_Z = 0.419
"""Below this height of the gripper its fingers press on the table (pushed down it stands at 0.417-0.4185 m)."""

VOLUME_LOW, VOLUME_HIGH = np.array([1.05, 0.40, 0.0]), np.array([1.55, 1.10, 1.0])

REACHED_M, TOUCH_M, HELD_M, LIFTED_M = 0.08, 0.05, 0.035, 0.01
HELD_WIDTH_M = (0.035, 0.06)
"""Distance of the fingers that the block of 0.05 m holds apart."""

SECTORS = ("near_left", "near_right", "far_left", "far_right")
OCTANTS = tuple(f"{d}_{s}_{h}" for d in ("near", "far") for s in ("left", "right") for h in ("low", "high"))


def _observation() -> ObservationSchema:
    rows = [
        *((f"gripper_{a}", "m", -0.5, 3.0) for a in "xyz"),
        *((f"block_{a}", "m", -10.0, 10.0) for a in "xyz"),
        *((f"block_from_gripper_{a}", "m", -10.0, 10.0) for a in "xyz"),
        *((f"finger_{s}_opening", "m", -0.05, 0.1) for s in ("right", "left")),
        *((f"block_{a}", "rad", -3.15, 3.15) for a in ("roll", "pitch", "yaw")),
        *((f"block_from_gripper_velocity_{a}", "m/step", -1.0, 1.0) for a in "xyz"),
        *((f"block_spin_{a}", "rad/step", -10.0, 10.0) for a in "xyz"),
        *((f"gripper_velocity_{a}", "m/step", -1.0, 1.0) for a in "xyz"),
        *((f"finger_{s}_velocity", "m/step", -0.5, 0.5) for s in ("right", "left")),
        *((f"goal_{a}", "m", -0.5, 3.0) for a in "xyz"),
    ]
    return ObservationSchema(dimensions=tuple(Dimension(name=n, unit=u, low=a, high=b) for n, u, a, b in rows))


def _named(*prefixes: str) -> tuple[str, ...]:
    """Observation dimensions whose names begin so; the block is also seen from the gripper."""
    return tuple(name for name in _observation().names if name.startswith(prefixes))


def _action() -> ActionSchema:
    rows = (("dx", "5 cm"), ("dy", "5 cm"), ("dz", "5 cm"), ("fingers", "open is 1, close is -1"))
    return ActionSchema(dimensions=tuple(Dimension(name=n, unit=u, low=-1.0, high=1.0) for n, u in rows))


SPEC = RobotSpec(
    name="fetch_pick_and_place",
    body="Fetch mobile manipulator, 7-joint arm, two-finger gripper (MuJoCo, gymnasium-robotics FetchPickAndPlace-v4)",
    sensors=("gripper pose and finger encoders", "block pose and velocity", "goal position"),
    action=_action(),
    observation=_observation(),
    limits=SafetyLimits(max_action_change=(float("inf"),) * 4, max_episode_cost=15.0),
    control_rate_hz=25.0,
    horizon=50,
    reward_meaning="0 in a step after which the block lies within 5 cm of the goal, else -1",
    cost_meaning=(
        "1 in a step in which empty fingers press on the table (gripper below 0.419 m), the block is squeezed into it "
        "(its centre 15 mm below where it rests) or falls off it, or the gripper is outside its work volume over the "
        "table (x 1.05-1.55, y 0.40-1.10, z at most 1.0 m)"
    ),
    score_meaning=(
        "share of the way that the block came towards the goal's 5 cm by the last step: "
        "1 - max(d - 0.05, 0) / max(d_first - 0.05, 0.05), in [0, 1]; 1 is success"
    ),
    success_rule="last",
    failures=("constraint_violated", "never_reached", "missed_grasp", "dropped", "not_delivered"),
    regions={
        "gripper_pose": (*OCTANTS, "outside_work_volume", "closed_empty"),
        "contact_mode": ("free", "touching", "grasped", "lifted", "block_off_table"),
        "saturation": ("dx", "dy", "dz", "fingers", "none"),
        "reset_state": (*(f"block_{s}" for s in SECTORS), "goal_on_table", "goal_in_air", "outside_recorded_range"),
    },
    drives={"dx": "gripper_x", "dy": "gripper_y", "dz": "gripper_z", "fingers": "finger_right_opening"},
    sensor_dimensions={
        "gripper pose and finger encoders": _named("gripper_", "finger_"),
        "block pose and velocity": _named("block_"),
        "goal position": _named("goal_"),
    },
)
OPERATORS: dict[str, OperatorFactory] = {"expert": people.expert, "recovery": people.recovery, "biased": people.biased}


def make(dynamics: Dynamics) -> Robot:
    """Start the simulator.

    ``action_gain`` multiplies dx, dy, dz; ``sensor_bias`` (metres) is added to the x of the sensed block.

    Raises:
        RobotError: a value of the dynamics that no robot can have.
    """
    from offline_to_online.robots._fetch_world import FetchWorld

    return SimulatedRobot(spec=SPEC, dynamics=dynamics, world=FetchWorld, judge=_judge, sense=_sense, fallback=fallback)


def draw_task(rng: np.random.Generator) -> Task:
    """One reset as FetchEnv draws it: block 10 cm or more from the gripper's home, goal in the air every other time."""
    offset = np.zeros(2)
    while np.linalg.norm(offset) < NEAREST_BLOCK_M:
        offset = rng.uniform(-REACH_M, REACH_M, 2)
    goal_xy = HOME[:2] + rng.uniform(-REACH_M, REACH_M, 2)
    rise = rng.uniform(0, GOAL_RISE_M) if rng.random() < 0.5 else 0.0
    return _task(int(rng.integers(2**31)), HOME[:2] + offset, np.array([*goal_xy, BLOCK_REST_Z + rise]))


def shift_task(task: Task) -> Task:
    """Block and goal moved sideways, to 17-22 cm from the middle, where nothing was recorded (at most 15 cm)."""
    block, goal = np.array(task.state["object_xy"]), np.array(task.state["goal"])
    for point in (block, goal):
        aside = point[1] - HOME[1]
        point[1] = HOME[1] + np.copysign(0.17 + 0.05 * min(abs(aside) / REACH_M, 1.0), aside)
    return _task(task.seed, block, goal)


def _task(seed: int, block: Array, goal: Array) -> Task:
    return Task(seed=seed, state={"object_xy": tuple(map(float, block)), "goal": tuple(map(float, goal))})


def fallback(observation: Array) -> Array:
    """Stand still: the arm does not move, and the fingers keep holding what they hold."""
    seen = np.asarray(observation, dtype=np.float32)[None]
    return np.array([0, 0, 0, -1.0 if _held(seen)[0] else 0.0], dtype=np.float32)


def label(observations: Array, actions: Array) -> Labels:
    """The robot's own reward, cost, success and score of an episode (T+1, 28), (T, 4)."""
    return label_with(_judge, SPEC, observations, actions)


def regions(observations: Array, actions: Array) -> dict[str, Array]:
    """Bool masks (N,) over observations (N, 28) and actions (N, 4), by ``kind/name``."""
    seen, done = np.asarray(observations), np.asarray(actions)
    return by_name(
        {
            "gripper_pose": _poses(seen),
            "contact_mode": _contacts(seen),
            "saturation": _saturated(done),
            "reset_state": _resets(seen),
        }
    )


def failure(episode: Episode) -> str:
    """How an episode failed, from what was observed; "" for a success.

    A constraint counts first (the block off the table, or more cost than an episode may have), then how
    far the pick came: the gripper never near the block, never lifted it, lifted and lost it, or carried
    it and did not arrive.
    """
    if episode.success:
        return ""
    seen = episode.observations
    said = label(seen, episode.actions)
    held = _held(seen) & (seen[:, 5] > BLOCK_REST_Z + LIFTED_M)
    if seen[-1, 5] < OFF_TABLE_Z or said.cost.sum() > SPEC.limits.max_episode_cost:
        return "constraint_violated"
    if np.linalg.norm(seen[:, 6:9], axis=1).min() > REACHED_M:
        return "never_reached"
    if not held.any():
        return "missed_grasp"
    return "not_delivered" if _held(seen[-1:])[0] else "dropped"


def _judge(first: Array, before: Array, after: Array) -> Judgement:
    goal = after[:, 25:28]
    left = np.linalg.norm(after[:, 3:6] - goal, axis=1)
    whole = float(np.linalg.norm(first[3:6] - first[25:28]))
    success = left <= TOLERANCE_M
    score = 1 - np.maximum(left - TOLERANCE_M, 0) / max(whole - TOLERANCE_M, TOLERANCE_M)
    off = after[:, 5] < OFF_TABLE_Z
    falls, squeezed = off & (before[:, 5] >= OFF_TABLE_Z), ~off & (after[:, 5] < SQUEEZED_Z)
    pressed = (after[:, 2] < PRESSED_Z) & ~_held(after)
    cost = falls | squeezed | pressed | _outside_volume(after)
    return Judgement(rewards=success - 1.0, cost=cost.astype(np.float32), success=success, score=np.clip(score, 0, 1))


def _sense(observation: Array, bias_m: float) -> Array:
    observation[[3, 6]] += np.float32(bias_m)
    return observation


def _outside_volume(seen: Array) -> Array:
    return outside(seen[:, :3], VOLUME_LOW, VOLUME_HIGH)


def _held(seen: Array) -> Array:
    """Fingers stopped by the block between them."""
    width = seen[:, 9] + seen[:, 10]
    return np.asarray(
        (np.linalg.norm(seen[:, 6:9], axis=1) < HELD_M) & (width > HELD_WIDTH_M[0]) & (width < HELD_WIDTH_M[1])
    )


def _poses(seen: Array) -> dict[str, Array]:
    far, right, high = seen[:, 0] > HOME[0], seen[:, 1] < HOME[1], seen[:, 2] > 0.5
    masks = {
        n: (far == n.startswith("far")) & (right == ("right" in n)) & (high == n.endswith("high")) for n in OCTANTS
    }
    empty = seen[:, 9] + seen[:, 10] < 0.03
    return masks | {"outside_work_volume": _outside_volume(seen), "closed_empty": empty}


def _contacts(seen: Array) -> dict[str, Array]:
    off, held = seen[:, 5] < OFF_TABLE_Z, _held(seen)
    lifted = held & (seen[:, 5] > BLOCK_REST_Z + LIFTED_M)
    near = np.linalg.norm(seen[:, 6:9], axis=1) < TOUCH_M
    return {
        "free": ~off & ~held & ~near,
        "touching": ~off & ~held & near,
        "grasped": ~off & held & ~lifted,
        "lifted": ~off & lifted,
        "block_off_table": off,
    }


def _saturated(done: Array) -> dict[str, Array]:
    at_bound = at_bounds(done, SPEC.action)
    masks = {name: at_bound[:, i] for i, name in enumerate(SPEC.action.names)}
    return masks | {"none": ~some(at_bound)}


def _resets(seen: Array) -> dict[str, Array]:
    """Where the block lies while it rests on the table, and what kind of goal there is."""
    resting = np.abs(seen[:, 5] - BLOCK_REST_Z) < 0.005
    far, right = seen[:, 3] > HOME[0], seen[:, 4] < HOME[1]
    masks = {f"block_{s}": resting & (far == s.startswith("far")) & (right == s.endswith("right")) for s in SECTORS}
    air = seen[:, 27] > BLOCK_REST_Z + 0.005
    beyond = outside(seen[:, 25:27] - HOME[:2], -REACH_M - 0.001, REACH_M + 0.001)
    return masks | {"goal_on_table": ~air, "goal_in_air": air, "outside_recorded_range": beyond}
