"""A disc pushes a T onto its outline (gym-pusht, gym_pusht/PushT-v0, observations of the state).

5 observations, 2 actions (absolute target position of the disc, px), 10 Hz, 300 steps. People have
recorded it with a mouse; there are no scripted operators. The T has no friction to change in its
simulator (contact friction 0, all speed lost at once), so friction is refused.
"""

from __future__ import annotations

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import ActionSchema, Array, Dimension, ObservationSchema, SafetyLimits
from offline_to_online.robots import Dynamics, Labels, OperatorFactory, Robot, RobotSpec, Task
from offline_to_online.robots import _pusht_world as table
from offline_to_online.robots._masks import at_bounds, by_name, outside, some
from offline_to_online.robots._simulated import Judgement, SimulatedRobot, label_with

SUCCESS_COVERAGE = 0.95
RECORDED_RANGE = {
    "agent_xy": ((50.0, 50.0), (450.0, 450.0)),
    "block_pose": ((55.0, 100.0, 0.0), (445.0, 490.0, 6.2832)),
}
TOUCH_PX, MOVED_PX, MOVED_RAD, LONG_WAY_PX = 2.0, 2.0, 0.02, 100.0
QUADRANTS = ("low_x_low_y", "low_x_high_y", "high_x_low_y", "high_x_high_y")


def _observation() -> ObservationSchema:
    rows = (
        ("agent_x", "px", 0.0, 512.0),
        ("agent_y", "px", 0.0, 512.0),
        ("block_x", "px", -100.0, 612.0),
        ("block_y", "px", -100.0, 612.0),
        ("block_angle", "rad", 0.0, 6.2832),
    )
    return ObservationSchema(dimensions=tuple(Dimension(name=n, unit=u, low=a, high=b) for n, u, a, b in rows))


def _action() -> ActionSchema:
    return ActionSchema(
        dimensions=tuple(Dimension(name=f"target_{a}", unit="px", low=0.0, high=table.FRAME_PX) for a in "xy")
    )


SPEC = RobotSpec(
    name="pusht",
    body="disc of 15 px radius on a table of 512 x 512 px with a T-shaped block (pymunk, gym_pusht/PushT-v0)",
    sensors=("agent position", "block pose"),
    action=_action(),
    observation=_observation(),
    limits=SafetyLimits(max_action_change=(float("inf"),) * 2, max_episode_cost=30.0),
    control_rate_hz=10.0,
    horizon=300,
    reward_meaning="coverage of the goal after the step, as a share of 0.95, at most 1",
    cost_meaning="1 in a step after which the disc is pressed into a wall, or the T pushed into one",
    score_meaning="the best coverage of the goal outline within the episode, in [0, 1] (0.95 is success)",
    success_rule="any",
    ends_on_success=True,
    failures=("constraint_violated", "never_touched", "pushed_away", "not_covered", "not_aligned"),
    regions={
        "gripper_pose": (*QUADRANTS, "at_wall"),
        "contact_mode": ("free", "touching", "block_at_wall"),
        "saturation": ("target_x", "target_y", "long_way", "none"),
        "reset_state": (*(f"block_{q}" for q in QUADRANTS), "outside_recorded_range"),
    },
    dynamics=("action_gain", "action_delay_steps", "sensor_bias"),
    drives={"target_x": "agent_x", "target_y": "agent_y"},
    sensor_dimensions={
        "agent position": ("agent_x", "agent_y"),
        "block pose": ("block_x", "block_y", "block_angle"),
    },
)
OPERATORS: dict[str, OperatorFactory] = {}


def make(dynamics: Dynamics) -> Robot:
    """Start the simulator; no window opens.

    ``action_gain`` scales the way from the disc to its target; ``sensor_bias`` (px) is added to the
    x of the sensed block.

    Raises:
        RobotError: a change of friction (there is none to change), or a value that no robot can have.
    """
    return SimulatedRobot(
        spec=SPEC, dynamics=dynamics, world=table.PushTWorld, judge=_judge, sense=_sense, fallback=fallback
    )


def draw_task(rng: np.random.Generator) -> Task:
    """One reset as PushTEnv draws it, without those in which the disc or a wall already stands in the T.

    The environment draws the place of the T before it turns it about its centre of gravity; the pose kept
    here is the one that comes of it, which is the one observed.
    """
    while True:
        agent = rng.integers(50, 450, 2).astype(np.float64)
        place, angle = rng.integers(100, 400, 2), rng.uniform(-np.pi, np.pi)
        moved = table.CENTRE_OF_GRAVITY - table.turn(table.CENTRE_OF_GRAVITY[None], np.array([angle]))[0, 0]
        pose = np.array([*(place + moved), angle % (2 * np.pi)])
        if table.clearance_px(agent[None], pose[None])[0] > 0 and not _in_wall(pose[None])[0]:
            return _task(int(rng.integers(2**31)), agent, pose)


def shift_task(task: Task) -> Task:
    """T and disc outside the recorded range: T at x 450-480 px (recorded to 445), disc at y 455-485 (to 450)."""
    (agent_x, agent_y), (x, y, angle) = task.state["agent_xy"], task.state["block_pose"]
    agent = np.array([min(50.0 + (agent_x - 50.0) * 0.5, 250.0), 455.0 + 30.0 * (agent_y - 50.0) / 400.0])
    turned = np.pi / 2 + 0.2 * np.sin(angle)
    pose = np.array([450.0 + 30.0 * (x - 55.0) / 390.0, float(np.clip(y, 120.0, 350.0)), turned])
    return _task(task.seed, agent, pose)


def _task(seed: int, agent: Array, pose: Array) -> Task:
    return Task(seed=seed, state={"agent_xy": tuple(map(float, agent)), "block_pose": tuple(map(float, pose))})


def fallback(observation: Array) -> Array:
    """Stand still: the target is where the disc is."""
    return SPEC.action.clip(np.asarray(observation[:2], dtype=np.float32))


def label(observations: Array, actions: Array) -> Labels:
    """The robot's own reward, cost, success and score of an episode (T+1, 5), (T, 2)."""
    return label_with(_judge, SPEC, observations, actions)


def regions(observations: Array, actions: Array) -> dict[str, Array]:
    """Bool masks (N,) over observations (N, 5) and actions (N, 2), by ``kind/name``."""
    seen, done = np.asarray(observations), np.asarray(actions)
    return by_name(
        {
            "gripper_pose": _poses(seen),
            "contact_mode": _contacts(seen),
            "saturation": _saturated(seen, done),
            "reset_state": _resets(seen),
        }
    )


def failure(episode: Episode) -> str:
    """How an episode failed, from what was observed; "" for a success.

    More cost than an episode may have; the T never moved; it ended with less coverage than it began
    with and than ever; less than half covered at best; or more, but not aligned.
    """
    if episode.success:
        return ""
    seen = episode.observations
    if label(seen, episode.actions).cost.sum() > SPEC.limits.max_episode_cost:
        return "constraint_violated"
    turned = np.abs(np.angle(np.exp(1j * (seen[:, 4] - seen[0, 4]))))
    if np.linalg.norm(seen[:, 2:4] - seen[0, 2:4], axis=1).max() < MOVED_PX and turned.max() < MOVED_RAD:
        return "never_touched"
    covered = table.coverage(seen[:, 2:5])
    if covered.max() <= covered[0]:
        return "pushed_away"
    return "not_covered" if covered.max() < 0.5 else "not_aligned"


def _judge(first: Array, before: Array, after: Array) -> Judgement:
    covered = table.coverage(after[:, 2:5])
    cost = _at_wall(after) | _in_wall(after[:, 2:5])
    return Judgement(
        rewards=np.clip(covered / SUCCESS_COVERAGE, 0, 1),
        cost=cost.astype(np.float32),
        success=covered > SUCCESS_COVERAGE,
        score=np.clip(covered, 0, 1),
    )


def _sense(observation: Array, bias_px: float) -> Array:
    observation[2] += np.float32(bias_px)
    return observation


def _at_wall(seen: Array) -> Array:
    low, high = table.WALL_INNER_LOW + table.AGENT_RADIUS_PX, table.WALL_INNER_HIGH - table.AGENT_RADIUS_PX
    return outside(seen[:, :2], low, high)


def _in_wall(pose: Array) -> Array:
    return outside(table.tee_corners(pose), table.WALL_INNER_LOW, table.WALL_INNER_HIGH)


def _quadrants(xy: Array) -> dict[str, Array]:
    x, y = xy[:, 0] > 256, xy[:, 1] > 256
    return dict(zip(QUADRANTS, (~x & ~y, ~x & y, x & ~y, x & y), strict=True))


def _poses(seen: Array) -> dict[str, Array]:
    return _quadrants(seen[:, :2]) | {"at_wall": _at_wall(seen)}


def _contacts(seen: Array) -> dict[str, Array]:
    touching = table.clearance_px(seen[:, :2], seen[:, 2:5]) < TOUCH_PX
    return {"free": ~touching, "touching": touching, "block_at_wall": _in_wall(seen[:, 2:5])}


def _saturated(seen: Array, done: Array) -> dict[str, Array]:
    at_bound = at_bounds(done, SPEC.action)
    far = np.linalg.norm(done - seen[:, :2], axis=1) > LONG_WAY_PX
    return {"target_x": at_bound[:, 0], "target_y": at_bound[:, 1], "long_way": far, "none": ~some(at_bound) & ~far}


def _resets(seen: Array) -> dict[str, Array]:
    low, high = (np.array(b)[:2] for b in RECORDED_RANGE["block_pose"])
    beyond = outside(seen[:, 2:4], low, high)
    return {f"block_{n}": m for n, m in _quadrants(seen[:, 2:4]).items()} | {"outside_recorded_range": beyond}
