"""The Adroit hand turns a latch and opens a door (gymnasium-robotics AdroitHandDoor-v1).

39 observations, 28 actions (joint targets, scaled to [-1, 1]), 100 Hz. The horizon is 300 steps: people
needed 223 to 300, more than the environment's own 200. The reward is the sparse one, computed here from
the hinge, because the shaped one changed after the demonstrations were recorded.
"""

from __future__ import annotations

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import ActionSchema, Array, Dimension, ObservationSchema, SafetyLimits
from offline_to_online.robots import Dynamics, Labels, OperatorFactory, Robot, RobotSpec, Task
from offline_to_online.robots import _adroit_world as hand
from offline_to_online.robots._masks import at_bounds, by_name, outside, some
from offline_to_online.robots._simulated import Judgement, SimulatedRobot, label_with

OPEN_RAD = 1.35
RECORDED_RANGE = {"door_body_pos": ((-0.3, 0.2, 0.25), (-0.1, 0.4, 0.4))}
RESET_LOW, RESET_HIGH = np.array([-0.3, 0.25, 0.252]), np.array([-0.2, 0.35, 0.35])
FORCED_RAD = 0.1
HANDLE_FROM_DOOR = np.array([0.29, -0.15, -0.025])
NEAR_M, ON_HANDLE_M, LATCH_TURNED_RAD, MOVED_RAD, CLOSED_RAD, AT_REST_RAD = 0.1, 0.05, 0.8, 0.2, 0.01, 0.05
LATCH, HINGE, PALM, HANDLE, PALM_FROM_HANDLE = 27, 28, slice(29, 32), slice(32, 35), slice(35, 38)
FINGERS = {
    "arm": (0, 4),
    "wrist": (4, 6),
    "first": (6, 10),
    "middle": (10, 14),
    "ring": (14, 18),
    "little": (18, 23),
    "thumb": (23, 28),
}


def _observation() -> ObservationSchema:
    rows = [
        *((name, "rad", -3.5, 3.5) for name, _, _ in hand.MOTORS[1:]),
        ("latch", "rad", -0.5, 2.5),
        ("door_hinge", "rad", -0.5, 2.0),
        *((f"palm_{a}", "m", -2.0, 2.0) for a in "xyz"),
        *((f"handle_{a}", "m", -2.0, 2.0) for a in "xyz"),
        *((f"palm_from_handle_{a}", "m", -3.0, 3.0) for a in "xyz"),
        ("door_open", "1 beyond 1 rad, else -1", -1.0, 1.0),
    ]
    return ObservationSchema(dimensions=tuple(Dimension(name=n, unit=u, low=a, high=b) for n, u, a, b in rows))


def _action() -> ActionSchema:
    dimensions = tuple(
        Dimension(name=f"target_{n}", unit="half command range", low=-1.0, high=1.0) for n, _, _ in hand.MOTORS
    )
    return ActionSchema(dimensions=dimensions, out_of_bounds="clip")


SPEC = RobotSpec(
    name="adroit_door",
    body="Adroit hand, 28 motors, before a door with a latch (MuJoCo, gymnasium-robotics AdroitHandDoor-v1)",
    sensors=("joint encoders but the arm's slide", "latch and hinge encoders", "palm and handle position"),
    action=_action(),
    observation=_observation(),
    limits=SafetyLimits(max_action_change=(float("inf"),) * 28, max_episode_cost=30.0),
    control_rate_hz=100.0,
    horizon=300,
    reward_meaning="10 in a step after which the hinge stands at 1.35 rad or more, else -0.1",
    cost_meaning="1 in a step after which a joint of the hand is forced more than 0.1 rad beyond its range",
    score_meaning="the widest hinge angle within the episode, as a share of 1.35 rad, in [0, 1]; 1 is success",
    success_rule="any",
    failures=("constraint_violated", "never_reached", "latch_not_turned", "not_opened", "not_wide_open"),
    regions={
        "gripper_pose": (
            "palm_low",
            "palm_high",
            "palm_left",
            "palm_right",
            "hand_open",
            "hand_half_closed",
            "hand_closed",
            "joint_forced",
        ),
        "contact_mode": ("free", "near_handle", "on_handle", "latch_turned", "door_ajar", "door_open"),
        "saturation": (*FINGERS, "none"),
        "reset_state": ("door_near", "door_far", "door_low", "door_high", "outside_recorded_range"),
    },
    # Every motor pulls its own joint; the arm's slide is not sensed, the palm's y moves with it.
    drives={"target_ARTz": "palm_y"} | {f"target_{name}": name for name, _, _ in hand.MOTORS[1:]},
    sensor_dimensions={
        "joint encoders but the arm's slide": tuple(name for name, _, _ in hand.MOTORS[1:]),
        "latch and hinge encoders": ("latch", "door_hinge", "door_open"),
        "palm and handle position": tuple(f"{p}_{a}" for p in ("palm", "handle", "palm_from_handle") for a in "xyz"),
    },
)
OPERATORS: dict[str, OperatorFactory] = {}


def make(dynamics: Dynamics) -> Robot:
    """Start the simulator.

    ``action_gain`` scales the way from the joints to their targets; ``sensor_bias`` (metres) is added to
    the x of the sensed handle; ``friction`` multiplies every contact's.

    Raises:
        RobotError: a value of the dynamics that no robot can have.
    """
    return SimulatedRobot(
        spec=SPEC, dynamics=dynamics, world=hand.AdroitDoorWorld, judge=_judge, sense=_sense, fallback=fallback
    )


def draw_task(rng: np.random.Generator) -> Task:
    """Where the door stands, as AdroitHandDoorEnv draws it; people recorded a wider range, which holds this one."""
    position = rng.uniform(RESET_LOW, RESET_HIGH)
    return _task(int(rng.integers(2**31)), position)


def shift_task(task: Task) -> Task:
    """The door 2-7 cm nearer the middle (x) and 1-6 cm farther away (y) than anybody recorded."""
    x, y, z = task.state["door_body_pos"]
    share_x = float(np.clip((x - RESET_LOW[0]) / (RESET_HIGH[0] - RESET_LOW[0]), 0, 1))
    share_y = float(np.clip((y - RESET_LOW[1]) / (RESET_HIGH[1] - RESET_LOW[1]), 0, 1))
    return _task(task.seed, np.array([-0.08 + 0.05 * share_x, 0.41 + 0.05 * share_y, z]))


def _task(seed: int, position: Array) -> Task:
    return Task(seed=seed, state={"door_body_pos": tuple(map(float, position))})


def fallback(observation: Array) -> Array:
    """Stand still: every joint's target is where it is. The arm's slide is not sensed; the palm tells it."""
    slide = float(observation[PALM][1]) - hand.PALM_Y_AT_REST
    return hand.standing_still(np.array([slide, *observation[:LATCH]])).astype(np.float32)


def label(observations: Array, actions: Array) -> Labels:
    """The robot's own reward, cost, success and score of an episode (T+1, 39), (T, 28)."""
    return label_with(_judge, SPEC, observations, actions)


def regions(observations: Array, actions: Array) -> dict[str, Array]:
    """Bool masks (N,) over observations (N, 39) and actions (N, 28), by ``kind/name``."""
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

    More cost than an episode may have; the palm never near the handle; the latch never turned; the door
    not moved; or moved, but not to 1.35 rad.
    """
    if episode.success:
        return ""
    seen = episode.observations
    if label(seen, episode.actions).cost.sum() > SPEC.limits.max_episode_cost:
        return "constraint_violated"
    if np.linalg.norm(seen[:, PALM_FROM_HANDLE], axis=1).min() > NEAR_M:
        return "never_reached"
    if seen[:, LATCH].max() < LATCH_TURNED_RAD:
        return "latch_not_turned"
    return "not_opened" if seen[:, HINGE].max() < MOVED_RAD else "not_wide_open"


def _judge(first: Array, before: Array, after: Array) -> Judgement:
    hinge = after[:, HINGE]
    success = hinge >= OPEN_RAD
    return Judgement(
        rewards=np.where(success, 10.0, -0.1),
        cost=_forced(after).astype(np.float32),
        success=success,
        score=np.clip(hinge / OPEN_RAD, 0, 1),
    )


def _sense(observation: Array, bias_m: float) -> Array:
    observation[HANDLE.start] += np.float32(bias_m)
    observation[PALM_FROM_HANDLE.start] -= np.float32(bias_m)
    return observation


def _forced(seen: Array) -> Array:
    """Some joint beyond its range; the arm's joints have no stops of their own and are left out."""
    joints = seen[:, hand.ARM_MOTORS - 1 : LATCH]
    low, high = hand.LOW[hand.ARM_MOTORS :] - FORCED_RAD, hand.HIGH[hand.ARM_MOTORS :] + FORCED_RAD
    return outside(joints, low, high)


def _poses(seen: Array) -> dict[str, Array]:
    bent = seen[:, 5 : LATCH - 5].mean(axis=1)
    high, right = seen[:, PALM][:, 2] > 0.2, seen[:, PALM][:, 0] > 0.0
    open_hand, closed = bent < 0.25, bent > 0.6
    return {
        "palm_low": ~high,
        "palm_high": high,
        "palm_left": ~right,
        "palm_right": right,
        "hand_open": open_hand,
        "hand_half_closed": ~open_hand & ~closed,
        "hand_closed": closed,
        "joint_forced": _forced(seen),
    }


def _contacts(seen: Array) -> dict[str, Array]:
    away = np.linalg.norm(seen[:, PALM_FROM_HANDLE], axis=1)
    hinge = seen[:, HINGE]
    return {
        "free": away > NEAR_M,
        "near_handle": (away <= NEAR_M) & (away > ON_HANDLE_M),
        "on_handle": away <= ON_HANDLE_M,
        "latch_turned": seen[:, LATCH] > LATCH_TURNED_RAD,
        "door_ajar": (hinge > MOVED_RAD) & (hinge < OPEN_RAD),
        "door_open": hinge >= OPEN_RAD,
    }


def _saturated(done: Array) -> dict[str, Array]:
    at_bound = at_bounds(done, SPEC.action)
    masks = {name: some(at_bound[:, a:b]) for name, (a, b) in FINGERS.items()}
    return masks | {"none": ~some(at_bound)}


def _resets(seen: Array) -> dict[str, Array]:
    """Where the door stands, told by its handle until the door or the latch, which takes the handle along, is moved."""
    closed = (np.abs(seen[:, HINGE]) < CLOSED_RAD) & (np.abs(seen[:, LATCH]) < AT_REST_RAD)
    door = seen[:, HANDLE] - HANDLE_FROM_DOOR
    low, high = (np.array(b) - 0.001 for b in RECORDED_RANGE["door_body_pos"])
    far, up = door[:, 1] > 0.3, door[:, 2] > 0.3
    beyond = outside(door, low, high + 0.002)
    masks = {"door_near": ~far, "door_far": far, "door_low": ~up, "door_high": up, "outside_recorded_range": beyond}
    return {name: closed & mask for name, mask in masks.items()}
