"""Picking: exact resets, the operators' rates, and each way to fail told from observations."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from offline_to_online.dataset.episode import Episode
from offline_to_online.robots import Dynamics
from offline_to_online.robots import fetch_pick_and_place as fetch
from offline_to_online.robots._fetch_world import FetchWorld
from offline_to_online.robots._recording import record, record_log

Make = Callable[[ModuleType, np.ndarray], Episode]


@pytest.fixture(scope="module")
def log() -> list[Episode]:
    return record_log(fetch, {"expert": 10, "recovery": 10, "biased": 20}, seed=3)


def success(log: list[Episode], operator: str) -> float:
    return float(np.mean([e.success for e in log if e.operator == operator]))


def test_the_expert_delivers_and_the_biased_operator_seldom_does(log: list[Episode]) -> None:
    """Expert at least 9 of 10, recovery most of the time, biased clearly below both."""
    assert success(log, "expert") >= 0.9
    assert success(log, "recovery") >= 0.6
    assert success(log, "biased") <= 0.5


def test_recoveries_drop_the_block_and_lift_it_again(log: list[Episode]) -> None:
    """In a recovery the block is held in the air, falls back, and is held again."""
    episodes = [e for e in log if e.operator == "recovery" and e.success]
    changes = [np.abs(np.diff(fetch._held(e.observations).astype(int))).sum() for e in episodes]
    assert np.mean(np.array(changes) >= 3) > 0.8


def test_the_expert_costs_nothing_and_failures_do(log: list[Episode]) -> None:
    """The constraint cost is none for the expert, and some for who grasps beside."""
    cost = {o: sum(float(e.cost.sum()) for e in log if e.operator == o) for o in fetch.OPERATORS}
    assert cost["expert"] == 0 < cost["biased"]


def test_failures_and_good_episodes_meet_the_same_states(log: list[Episode]) -> None:
    """Failing operators are found where the expert was: free over the table and touching the block."""
    good, bad = (np.concatenate([e.observations for e in log if e.success == won]) for won in (True, False))
    for name in ("contact_mode/free", "contact_mode/touching"):
        assert fetch.regions(bad, np.zeros((len(bad), 4)))[name].mean() > 0.01
        assert fetch.regions(good, np.zeros((len(good), 4)))[name].mean() > 0.01


def test_the_reset_is_exactly_the_task() -> None:
    """Block and goal stand where the task says, the block flat and at rest, to a tenth of a millimetre."""
    robot = fetch.make(Dynamics())
    for seed in range(5):
        task = fetch.draw_task(np.random.default_rng(seed))
        seen = robot.reset(task)
        assert np.allclose(seen[3:5], task.state["object_xy"], atol=1e-4)
        assert np.allclose(seen[25:28], task.state["goal"], atol=1e-6)
        assert np.allclose(seen[11:14], 0, atol=1e-3)
        assert np.allclose(seen[:3], fetch.HOME, atol=2e-3)
    robot.close()


def test_the_observation_is_the_environments_own() -> None:
    """What we read through indices is what FetchPickAndPlace-v4 returns, while moving."""
    world = FetchWorld(Dynamics())
    world.place(fetch.draw_task(np.random.default_rng(0)))
    rng = np.random.default_rng(1)
    for _ in range(20):
        ours = world.advance(rng.uniform(-1, 1, 4).astype(np.float32))
        theirs = world._environment._get_obs()
        assert np.allclose(ours, np.concatenate([theirs["observation"], theirs["desired_goal"]]), atol=1e-6)
    world.close()


def test_a_sensor_bias_moves_what_is_seen_and_not_what_is() -> None:
    """Sensed block x and its x from the gripper move together; the reward still judges the true block."""
    plain, biased = fetch.make(Dynamics()), fetch.make(Dynamics(sensor_bias=0.03))
    task = fetch.draw_task(np.random.default_rng(0))
    moved = biased.reset(task) - plain.reset(task)
    assert np.allclose(moved[[3, 6]], 0.03, atol=1e-6)
    assert np.count_nonzero(moved) == 2
    still = np.zeros(4, dtype=np.float32)
    assert biased.step(still).score == plain.step(still).score
    plain.close()
    biased.close()


def test_the_gain_is_the_arms_and_not_the_fingers() -> None:
    """At half the gain the gripper moves about half as far in a step, and closes as before."""
    up_and_close = np.array([0, 0, 1, -1], dtype=np.float32)
    rises, closes = [], []
    for gain in (1.0, 0.5):
        robot = fetch.make(Dynamics(action_gain=gain))
        first = robot.reset(fetch.draw_task(np.random.default_rng(0)))
        last = [robot.step(up_and_close) for _ in range(5)][-1].observation
        rises.append(last[2] - first[2])
        closes.append(last[9] + last[10])
        robot.close()
    assert 0.4 < rises[1] / rises[0] < 0.6
    assert closes[0] == pytest.approx(closes[1], abs=2e-3)


def test_shifted_tasks_can_be_done() -> None:
    """Outside the recorded range the expert still delivers: the shift is hard for a policy, not for the arm."""
    robot, rng = fetch.make(Dynamics()), np.random.default_rng(2)
    tasks = [fetch.shift_task(fetch.draw_task(rng)) for _ in range(8)]
    won = [record(robot, fetch, fetch.OPERATORS["expert"](rng), task, "expert").success for task in tasks]
    robot.close()
    assert np.mean(won) >= 0.75


FAR = {
    "block_z": 0.425,
    "gripper_z": 0.53,
    "gripper_x": 1.3,
    "gripper_y": 0.75,
    "goal_x": 1.4,
    "block_from_gripper_x": 0.2,
    "finger_right_opening": 0.05,
    "finger_left_opening": 0.05,
}


def observed(*rows: dict[str, float]) -> np.ndarray:
    """Observations given by what differs from a block on the table, far from an open gripper."""
    named = [FAR | row for row in rows]
    return np.array([[row.get(n, 0.0) for n in fetch.SPEC.observation.names] for row in named], dtype=np.float32)


NEAR = {"block_from_gripper_x": 0.01}
HELD = NEAR | {"finger_right_opening": 0.024, "finger_left_opening": 0.024}
LIFTED = HELD | {"block_z": 0.5}


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (({}, {}), "never_reached"),
        (({}, NEAR, NEAR), "missed_grasp"),
        (({}, HELD, HELD), "missed_grasp"),
        (({}, LIFTED, {}), "dropped"),
        (({}, LIFTED, LIFTED), "not_delivered"),
        (({}, LIFTED, {"block_z": 0.1}), "constraint_violated"),
        (({}, *[LIFTED | {"gripper_x": 1.7}] * 17), "constraint_violated"),
    ],
)
def test_each_way_to_fail_is_told_from_observations(
    rows: tuple[dict[str, float], ...], name: str, failed_episode: Make
) -> None:
    """Never near, near but not lifted, lifted and lost, lifted and not there, off the table or out of its volume."""
    assert fetch.failure(failed_episode(fetch, observed(*rows))) == name


def test_empty_fingers_on_the_table_cost_and_a_block_being_put_down_does_not() -> None:
    """Pressing on the table with nothing in the fingers costs; setting the block down at the same height is free."""
    low = {"gripper_z": 0.418}
    seen = observed({}, NEAR | low, low, HELD | low)
    assert fetch.label(seen, np.zeros((3, 4))).cost.tolist() == [1.0, 1.0, 0.0]


def test_a_fall_costs_once() -> None:
    """The block that falls off the table costs 1 in that step, and nothing for lying on the floor."""
    seen = np.zeros((4, 28), dtype=np.float32)
    seen[:, :3] = (1.3, 0.75, 0.5)
    seen[:, 5] = (0.425, 0.405, 0.1, 0.02)
    assert fetch.label(seen, np.zeros((3, 4))).cost.tolist() == [1.0, 1.0, 0.0]


def test_the_fallback_keeps_holding_the_block() -> None:
    """With the block in the fingers the fallback closes them; with open fingers it leaves them."""
    seen = np.zeros(28, dtype=np.float32)
    seen[9:11] = 0.024
    assert fetch.fallback(seen).tolist() == [0, 0, 0, -1]
    seen[9:11] = 0.05
    assert fetch.fallback(seen).tolist() == [0, 0, 0, 0]
