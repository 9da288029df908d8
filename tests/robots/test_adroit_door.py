"""The door: rewards from the hinge, people's demonstrations, and resets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from offline_to_online.dataset.episode import Episode
from offline_to_online.robots import Dynamics, Task
from offline_to_online.robots import adroit_door as door

Demonstration = tuple[np.ndarray, np.ndarray, tuple[float, ...]]
Make = Callable[[ModuleType, np.ndarray], Episode]


@pytest.fixture(scope="module")
def demonstrations(shared_data: Path) -> list[Demonstration]:
    """Observations (T, 39), actions (T, 28) and where the door stood."""
    with h5py.File(shared_data / "d4rl" / "adroit_door_human.hdf5") as file:
        ends = file["episodes/ends"][:]
        starts, places = np.concatenate([[0], ends[:-1]]), file["episodes/door_body_pos"][:]
        seen, done = file["observations"][:].astype(np.float32), file["actions"][:].astype(np.float32)
        return [(seen[a:b], done[a:b], tuple(map(float, p))) for a, b, p in zip(starts, ends, places, strict=True)]


def test_seven_demonstrations_reach_success(demonstrations: list[Demonstration]) -> None:
    """The hinge reaches 1.35 rad in a recorded state of 7 of the 25, and no demonstration outlasts the horizon."""
    labels = [door.label(seen, done[:-1]) for seen, done, _ in demonstrations]
    assert sum(said.success for said in labels) == 7
    assert all(said.success == (said.score == 1) == (said.rewards.max() == 10) for said in labels)
    assert max(len(done) for _, done, _ in demonstrations) <= door.SPEC.horizon


def test_where_the_door_stands_is_told_until_the_latch_takes_the_handle_along(
    demonstrations: list[Demonstration],
) -> None:
    """Every demonstration begins with a low or a high door and keeps it; a turned latch is no lower door."""
    for seen, done, place in demonstrations:
        masks = door.regions(seen, done)
        visited = [masks[f"reset_state/{name}"].any() for name in ("door_low", "door_high")]
        assert visited == [place[2] <= 0.3, place[2] > 0.3]
        assert not masks["reset_state/door_low"][seen[:, door.LATCH] > 0.1].any()


def test_people_seldom_force_a_joint(demonstrations: list[Demonstration]) -> None:
    """The constraint cost of people is under 2 in 100 steps, and within an episode's limit."""
    costs = [door.label(seen, done[:-1]).cost for seen, done, _ in demonstrations]
    assert 0 < np.concatenate(costs).mean() < 0.02
    assert max(float(c.sum()) for c in costs) <= door.SPEC.limits.max_episode_cost


def test_demonstrations_lie_in_the_declared_ranges(demonstrations: list[Demonstration]) -> None:
    """The observation bounds and the recorded range hold what people recorded."""
    for seen, _, place in demonstrations:
        assert np.all((seen >= door.SPEC.observation.low) & (seen <= door.SPEC.observation.high))
        low, high = door.RECORDED_RANGE["door_body_pos"]
        assert np.all(np.array(place) >= low)
        assert np.all(np.array(place) <= high)


def test_a_demonstration_replayed_moves_the_door_as_recorded(demonstrations: list[Demonstration]) -> None:
    """Its actions, from the zero pose, open the door about as far as they did for the person."""
    seen, done, place = demonstrations[0]
    robot = door.make(Dynamics())
    robot.reset(Task(seed=0, state={"door_body_pos": place}))
    hinge = max(robot.step(action).score for action in done)
    robot.close()
    assert hinge == pytest.approx(door.label(seen, done[:-1]).score, abs=0.15)


def test_the_reset_places_the_door() -> None:
    """The handle stands where the task's door has it, also after another task, and the door is closed."""
    robot, rng = door.make(Dynamics()), np.random.default_rng(0)
    for task in [door.draw_task(rng) for _ in range(3)]:
        seen = robot.reset(task)
        assert np.allclose(seen[door.HANDLE] - door.HANDLE_FROM_DOOR, task.state["door_body_pos"], atol=2e-3)
        assert abs(seen[door.HINGE]) < 1e-6
    robot.close()


def test_a_sensor_bias_moves_the_sensed_handle_alone() -> None:
    """The handle's x, and the palm's x from it, agree about the wrong place."""
    task = door.draw_task(np.random.default_rng(0))
    plain, biased = door.make(Dynamics()), door.make(Dynamics(sensor_bias=0.05))
    moved = biased.reset(task) - plain.reset(task)
    plain.close()
    biased.close()
    assert moved[32] == pytest.approx(0.05, abs=1e-6)
    assert moved[35] == pytest.approx(-0.05, abs=1e-6)
    assert np.count_nonzero(np.abs(moved) > 1e-9) == 2


def observed(**changes: float) -> np.ndarray:
    """Observations of a hand half a metre from the handle, but for one step that differs."""
    seen = np.zeros((3, 39), dtype=np.float32)
    seen[:, door.PALM_FROM_HANDLE.start] = 0.5
    for name, value in changes.items():
        seen[1, door.SPEC.observation.names.index(name)] = value
    return seen


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "never_reached"),
        ({"palm_from_handle_x": 0.02}, "latch_not_turned"),
        ({"palm_from_handle_x": 0.02, "latch": 1.5}, "not_opened"),
        ({"palm_from_handle_x": 0.02, "latch": 1.5, "door_hinge": 0.7}, "not_wide_open"),
    ],
)
def test_each_way_to_fail_is_told_from_observations(changes: dict[str, float], name: str, failed_episode: Make) -> None:
    """Never at the handle, latch not turned, door not moved, moved but not to 1.35 rad."""
    assert door.failure(failed_episode(door, observed(**changes))) == name


def test_a_forced_joint_costs_its_step_and_too_many_are_a_violation(failed_episode: Make) -> None:
    """A finger 0.2 rad beyond its range costs 1 a step; more than an episode may cost is a violated constraint."""
    seen = np.zeros((door.SPEC.horizon + 1, 39), dtype=np.float32)
    seen[1:, door.SPEC.observation.names.index("FFJ2")] = 1.8
    episode = failed_episode(door, seen)
    assert episode.cost.sum() == door.SPEC.horizon
    assert door.failure(episode) == "constraint_violated"
