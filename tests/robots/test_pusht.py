"""PushT: coverage as the environment computes it, exact poses, and the people's own data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from offline_to_online.dataset.episode import Episode
from offline_to_online.robots import Dynamics, Task, pusht
from offline_to_online.robots import _pusht_world as table

Make = Callable[[ModuleType, np.ndarray], Episode]


def test_coverage_is_the_environments() -> None:
    """At poses all over the table our coverage is PushTEnv's, and 1 at the goal."""
    world = table.PushTWorld(Dynamics())
    for seed in range(8):
        x, y, angle = np.random.default_rng(seed).uniform((200, 200, 0), (320, 320, 6.28))
        world.place(Task(seed=0, state={"agent_xy": (30.0, 30.0), "block_pose": (x, y, angle)}))
        theirs = world._environment._get_coverage()
        assert table.coverage(np.array([[x, y, angle]]))[0] == pytest.approx(theirs, abs=1e-9)
    assert table.coverage(table.GOAL_POSE)[0] == pytest.approx(1.0)
    world.close()


def test_coverage_agrees_with_the_peoples_data(shared_data: Path) -> None:
    """25,650 recorded steps: the file's coverage before and after each, and its reward."""
    with h5py.File(shared_data / "d4rl" / "pusht_human.hdf5") as file:
        before, after = file["observations"][:], file["next_observations"][:]
        assert np.allclose(table.coverage(before[:, 2:5]), file["infos/coverage"][:], atol=1e-5)
        assert np.allclose(table.coverage(after[:, 2:5]), file["infos/next_coverage"][:], atol=1e-5)
        end = int(file["episodes/ends"][0])
        seen = np.concatenate([before[:end], after[end - 1 : end]])
        labels = pusht.label(seen, file["actions"][:end])
        assert np.allclose(labels.rewards, file["rewards"][:end], atol=1e-5)
        assert labels.score == pytest.approx(float(file["infos/next_coverage"][:end].max()), abs=1e-5)


def test_people_seldom_press_into_the_wall(shared_data: Path) -> None:
    """The constraint cost is rare for people: under 2 in 100 steps."""
    with h5py.File(shared_data / "d4rl" / "pusht_human.hdf5") as file:
        seen, actions = file["observations"][:], file["actions"][:]
    assert 0 < pusht.label(seen, actions[:-1]).cost.mean() < 0.02


def test_the_reset_is_exactly_the_task() -> None:
    """The first observation is the task's pose, angle included, not the legacy one turned about its centre."""
    robot, rng = pusht.make(Dynamics()), np.random.default_rng(0)
    for task in [pusht.draw_task(rng) for _ in range(10)] + [pusht.shift_task(pusht.draw_task(rng)) for _ in range(10)]:
        assert np.allclose(robot.reset(task), [*task.state["agent_xy"], *task.state["block_pose"]], atol=1e-3)
    robot.close()


def test_an_episode_ends_with_its_success() -> None:
    """A T that lies on its goal is a success at the first step, which terminates the episode."""
    robot = pusht.make(Dynamics())
    robot.reset(Task(seed=0, state={"agent_xy": (50.0, 50.0), "block_pose": (256.0, 256.0, np.pi / 4)}))
    step = robot.step(np.array([50, 50], dtype=np.float32))
    assert step.success
    assert step.terminated
    assert not step.truncated
    assert step.score == pytest.approx(1, abs=1e-3)
    robot.close()


def test_half_the_gain_goes_half_the_way() -> None:
    """The way from the disc to its target is scaled, so that a target at the disc stays where it is."""
    start = Task(seed=0, state={"agent_xy": (100.0, 100.0), "block_pose": (400.0, 350.0, 0.0)})
    went = []
    for gain in (1.0, 0.5):
        robot = pusht.make(Dynamics(action_gain=gain))
        robot.reset(start)
        went.append(robot.step(np.array([200, 100], dtype=np.float32)).observation[0] - 100)
        robot.close()
    assert went[1] / went[0] == pytest.approx(0.5, abs=0.02)


def observed(*poses: tuple[float, float, float], agent: tuple[float, float] = (60.0, 60.0)) -> np.ndarray:
    """Observations of a disc that stands still while the T takes these poses."""
    return np.array([[*agent, *pose] for pose in poses], dtype=np.float32)


def test_each_way_to_fail_is_told_from_observations(failed_episode: Make) -> None:
    """Never moved, pushed away, less than half covered, not aligned, pressed into the wall."""
    far, nearer, near, goal = (
        (350.0, 380.0, 0.5),
        (290.0, 290.0, 1.8),
        (256.0, 262.0, 0.9),
        (256.0, 256.0, np.pi / 4),
    )
    told = {
        "never_touched": observed(far, far),
        "pushed_away": observed(near, far),
        "not_covered": observed(far, nearer, far),
        "not_aligned": observed(far, near),
        "constraint_violated": observed(*[far] * 40, agent=(10.0, 200.0)),
    }
    assert {name: pusht.failure(failed_episode(pusht, seen)) for name, seen in told.items()} == {n: n for n in told}
    assert table.coverage(np.array([goal]))[0] > pusht.SUCCESS_COVERAGE
