"""One contract for every robot in the directory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from types import ModuleType

import numpy as np
import pytest

from offline_to_online import plugins
from offline_to_online.dataset.episode import Episode
from offline_to_online.errors import RobotError
from offline_to_online.robots import Dynamics, Robot, Step, Task, episode_outcome

STEPS = 40
# recorded_only is no robot that plays: it stands for one that nobody has written a plug-in for.
PLAYED = [name for name in plugins.available("robots") if name != "recorded_only"]
CHANGED = {"action_gain": 0.5, "action_delay_steps": 2, "sensor_bias": 0.02, "friction": 0.1}
SEEN_BEYOND = 1e-4


@pytest.fixture(params=PLAYED, scope="module")
def module(request: pytest.FixtureRequest) -> ModuleType:
    return plugins.module_for("robots", request.param)


@pytest.fixture(scope="module")
def robot(module: ModuleType) -> Iterator[Robot]:
    robot = module.make(Dynamics())
    yield robot
    robot.close()


class Anything:
    """Acts at random inside the bounds."""

    def __init__(self, module: ModuleType, seed: int) -> None:
        self._action, self._rng = module.SPEC.action, np.random.default_rng(seed)

    def act(self, observation: np.ndarray) -> np.ndarray:
        return self._rng.uniform(self._action.low, self._action.high).astype(np.float32)


def task(module: ModuleType, seed: int = 0) -> Task:
    return module.draw_task(np.random.default_rng(seed))


def actor(module: ModuleType, seed: int = 0) -> object:
    """The robot's first operator, or random actions where it has none: whatever touches most."""
    names = sorted(module.OPERATORS)
    if "expert" in names:
        return module.OPERATORS["expert"](np.random.default_rng(seed))
    return Anything(module, seed)


def play(
    robot: Robot, module: ModuleType, start: Task, operator: object, steps: int = STEPS
) -> tuple[list[np.ndarray], list[np.ndarray], list[Step]]:
    observations, actions, done = [robot.reset(start)], [], []
    while len(done) < steps and not (done and (done[-1].terminated or done[-1].truncated)):
        actions.append(operator.act(observations[-1]))
        done.append(robot.step(actions[-1]))
        observations.append(done[-1].observation)
    return observations, actions, done


def episode(
    module: ModuleType, observations: list[np.ndarray], actions: list[np.ndarray], done: list[Step], **changes: object
) -> Episode:
    success, score = episode_outcome(module.SPEC, [s.success for s in done], [s.score for s in done])
    values = {
        "observations": np.array(observations),
        "actions": np.array(actions),
        "rewards": np.array([s.reward for s in done], dtype=np.float32),
        "cost": np.array([s.cost for s in done], dtype=np.float32),
        "intervened": np.zeros(len(done), dtype=bool),
        "terminated": done[-1].terminated,
        "truncated": done[-1].truncated,
        "operator": "test",
        "seed": 0,
        "success": success,
        "score": score,
    }
    return Episode(**(values | changes))


def test_the_specification_agrees_with_the_simulator(module: ModuleType, robot: Robot) -> None:
    """What is said without connecting is what the simulator does: sizes, types, bounds, horizon."""
    spec = module.SPEC
    observations, _actions, done = play(robot, module, task(module), Anything(module, 1), steps=spec.horizon + 1)
    assert observations[0].shape == (spec.observation.size,)
    assert observations[0].dtype == np.float32
    assert np.all(np.array(observations) >= spec.observation.low)
    assert np.all(np.array(observations) <= spec.observation.high)
    assert len(spec.limits.max_action_change) == spec.action.size
    assert len(done) == spec.horizon
    assert done[-1].truncated
    assert not done[-1].terminated
    assert all(0 <= s.score <= 1 and s.cost >= 0 for s in done)
    assert spec.name == module.__name__.rsplit(".", 1)[1]
    assert spec.success_rule in {"last", "any"}


def test_the_same_task_is_the_same_episode(module: ModuleType, robot: Robot) -> None:
    """Bit for bit, also after another episode was played on the same robot, and on a robot of its own."""
    first = play(robot, module, task(module), actor(module))
    play(robot, module, task(module, 5), Anything(module, 3))
    again = play(robot, module, task(module), actor(module))
    fresh = module.make(Dynamics())
    other = play(fresh, module, task(module), actor(module))
    fresh.close()
    for repeated in (again, other):
        assert np.array_equal(np.array(first[0]), np.array(repeated[0]))
    assert [s.reward for s in first[2]] == [s.reward for s in again[2]]


def test_a_task_survives_json(module: ModuleType) -> None:
    """A panel holds tasks as JSON; they come back equal."""
    assert Task.from_json(task(module).to_json()) == task(module)


def test_a_command_beyond_the_bounds_does_what_the_bound_does(module: ModuleType, robot: Robot) -> None:
    """The robot clips: five times the upper bound moves it as the upper bound does."""
    robot.reset(task(module))
    at_bound = robot.step(module.SPEC.action.high).observation
    robot.reset(task(module))
    assert np.array_equal(robot.step(module.SPEC.action.high * 5).observation, at_bound)


@pytest.mark.parametrize("spoil", [lambda a: a[:-1], lambda a: a * np.nan], ids=["wrong size", "not a number"])
def test_what_is_no_command_is_refused(module: ModuleType, robot: Robot, spoil: object) -> None:
    """A command of the wrong size, or not finite, never reaches the motors."""
    robot.reset(task(module))
    with pytest.raises(RobotError, match="finite"):
        robot.step(spoil(module.SPEC.action.high))


def test_labels_say_what_stepping_said(module: ModuleType, robot: Robot) -> None:
    """Logged observations and actions alone give the rewards, cost, success and score of the live episode."""
    observations, actions, done = play(robot, module, task(module, 2), actor(module), steps=module.SPEC.horizon)
    labels = module.label(np.array(observations), np.array(actions))
    assert np.array_equal(labels.rewards, np.array([s.reward for s in done], dtype=np.float32))
    assert np.array_equal(labels.cost, np.array([s.cost for s in done], dtype=np.float32))
    outcome = episode_outcome(module.SPEC, [s.success for s in done], [s.score for s in done])
    assert (labels.success, labels.score) == outcome
    assert labels.rewards.shape == labels.cost.shape == (len(done),)


def test_labels_refuse_what_is_not_of_this_robot(module: ModuleType) -> None:
    """Arrays of other sizes, or without the last observation, are no episode of this robot."""
    with pytest.raises(RobotError, match="T\\+1"):
        module.label(np.zeros((3, module.SPEC.observation.size)), np.zeros((3, module.SPEC.action.size)))


def test_every_failure_has_a_declared_name(module: ModuleType, robot: Robot) -> None:
    """A failed episode is named from SPEC.failures; a success has no name."""
    parts = play(robot, module, task(module), Anything(module, 4), steps=module.SPEC.horizon)
    assert module.failure(episode(module, *parts, success=False)) in module.SPEC.failures
    assert module.failure(episode(module, *parts, success=True)) == ""


def test_standing_still_violates_nothing(module: ModuleType, robot: Robot) -> None:
    """The guard's fallback costs nothing, and an episode of it failed, but not for a constraint."""
    still = play(robot, module, task(module), Still(module), steps=20)
    assert sum(s.cost for s in still[2]) == 0
    assert module.failure(episode(module, *still, success=False)) != "constraint_violated"


class Still:
    """Executes the guard's fallback."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def act(self, observation: np.ndarray) -> np.ndarray:
        return self._module.fallback(observation)


def test_the_fallback_stands_still(module: ModuleType, robot: Robot) -> None:
    """Under the fallback the robot moves much less than at random, and the command is a legal one."""
    still = np.array(play(robot, module, task(module), Still(module), steps=20)[0])
    wild = np.array(play(robot, module, task(module), Anything(module, 0), steps=20)[0])
    action = module.fallback(still[-1])
    assert action.dtype == np.float32
    assert np.array_equal(action, module.SPEC.action.clip(action))
    assert np.abs(np.diff(still, axis=0)).mean() < 0.2 * np.abs(np.diff(wild, axis=0)).mean()


def test_regions_are_the_declared_ones(module: ModuleType, robot: Robot) -> None:
    """Every declared region, in order, as a bool mask over the rows; contact and saturation leave no row out."""
    observations, actions, done = play(robot, module, task(module), actor(module))
    masks = module.regions(np.array(observations[:-1]), np.array(actions))
    assert list(masks) == [f"{kind}/{name}" for kind, names in module.SPEC.regions.items() for name in names]
    assert all(mask.shape == (len(done),) and mask.dtype == bool for mask in masks.values())
    for kind in ("gripper_pose", "contact_mode", "saturation"):
        assert np.any([masks[f"{kind}/{name}"] for name in module.SPEC.regions[kind]], axis=0).all()


def test_every_dimension_belongs_to_a_declared_sensor(module: ModuleType) -> None:
    """What the audit misses when a sensor is missing: each sensor's dimensions, every dimension under one sensor."""
    declared = module.SPEC.sensor_dimensions
    assert set(declared) == set(module.SPEC.sensors)
    given = [dimension for dimensions in declared.values() for dimension in dimensions]
    assert sorted(given) == sorted(module.SPEC.observation.names)


def test_a_saturated_action_is_seen(module: ModuleType) -> None:
    """An action at its bounds is in no row of `saturation/none`."""
    observations = np.zeros((2, module.SPEC.observation.size), dtype=np.float32)
    actions = np.stack([module.SPEC.action.high, (module.SPEC.action.high + module.SPEC.action.low) / 2])
    assert not module.regions(observations, actions)["saturation/none"][0]


def inside(module: ModuleType, start: Task) -> bool:
    rows = [(np.array(start.state[name]), *map(np.array, bounds)) for name, bounds in module.RECORDED_RANGE.items()]
    return all(((value >= low) & (value <= high)).all() for value, low, high in rows)


def test_resets_lie_in_the_recorded_range_and_shifted_ones_do_not(module: ModuleType, robot: Robot) -> None:
    """Every drawn task is inside, every shifted one outside, deterministic, and one the robot can start from."""
    rng = np.random.default_rng(11)
    for start in [module.draw_task(rng) for _ in range(40)]:
        shifted = module.shift_task(start)
        assert inside(module, start)
        assert not inside(module, shifted)
        assert shifted == module.shift_task(start)
        assert shifted.seed == start.seed
    observation = robot.reset(shifted)
    outside = module.regions(observation[None], module.SPEC.action.high[None])["reset_state/outside_recorded_range"]
    assert outside[0]


def test_draws_depend_on_the_generator_alone(module: ModuleType) -> None:
    """The same generator draws the same task, another one another."""
    assert task(module, 1) == task(module, 1) != task(module, 2)


@pytest.mark.parametrize("change", [f.name for f in fields(Dynamics)])
def test_a_declared_change_of_dynamics_changes_what_happens(module: ModuleType, robot: Robot, change: str) -> None:
    """Every declared change shows in the observations; one that the robot does not have is refused."""
    changed = Dynamics(**{change: CHANGED[change]})
    if change not in module.SPEC.dynamics:
        with pytest.raises(RobotError, match=f"no {change}"):
            module.make(changed)
        return
    other = module.make(changed)
    seen = [np.array(play(r, module, task(module), actor(module), steps=80)[0]) for r in (robot, other)]
    other.close()
    assert np.abs(seen[0] - seen[1]).max() > SEEN_BEYOND


@pytest.mark.parametrize(
    "wrong", [{"action_gain": 0.0}, {"action_gain": float("nan")}, {"action_delay_steps": -1}, {"friction": -1.0}]
)
def test_impossible_dynamics_are_refused(module: ModuleType, wrong: dict[str, float]) -> None:
    """A gain of nothing, a delay into the past: one line says so, before anything starts."""
    with pytest.raises(RobotError):
        module.make(Dynamics(**wrong))


def test_a_delay_starts_by_standing_still(module: ModuleType) -> None:
    """Until the first command arrives the robot does what the fallback does."""
    late = module.make(Dynamics(action_delay_steps=2))
    first = late.reset(task(module))
    seen = late.step(module.SPEC.action.high).observation
    late.reset(task(module))
    assert np.array_equal(seen, late.step(module.SPEC.action.low).observation)
    assert first.shape == seen.shape
    late.close()


def test_a_stopped_robot_does_not_move(module: ModuleType, robot: Robot) -> None:
    """After stop(), which may come twice, a step is refused until the next reset."""
    robot.reset(task(module))
    robot.stop()
    robot.stop()
    with pytest.raises(RobotError, match="stopped"):
        robot.step(module.SPEC.action.high)
    robot.reset(task(module))
    robot.step(module.SPEC.action.high)


def test_a_robot_that_was_not_reset_does_not_move(module: ModuleType) -> None:
    """The first thing after make() is a reset; the last is a close, which may come twice."""
    fresh = module.make(Dynamics())
    with pytest.raises(RobotError, match="reset"):
        fresh.step(module.SPEC.action.high)
    fresh.close()
    fresh.close()
    with pytest.raises(RobotError, match="closed"):
        fresh.reset(task(module))


def test_making_a_robot_prints_nothing(module: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    """No banner of any library reaches the terminal."""
    module.make(Dynamics()).close()
    assert capfd.readouterr() == ("", "")
