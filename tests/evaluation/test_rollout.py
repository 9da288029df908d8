"""One episode under the guard."""

from __future__ import annotations

import numpy as np
import pytest
from toy_robot import Constant, Line, SpeedSupport, line, task, thresholds

from offline_to_online.dataset.store import read_episode, write_episode
from offline_to_online.errors import DataError, EmergencyStopError, PolicyError, RobotError
from offline_to_online.evaluation.guard import Guard
from offline_to_online.evaluation.rollout import Rollout, read_rollout, run_episode, write_rollout


def play(policy, *, module=None, robot=None, rng=None, person=None, stop=None, support=True, **reset):
    module = module or line()
    guard = Guard(module, *((SpeedSupport(), thresholds()) if support else ()))
    robot = robot or Line()
    return run_episode(robot, module, policy, task(**reset), guard, rng=rng, operator="toy", person=person, stop=stop)


class Windowed:
    """A policy with a history of 2 and a chunk of 3, which records what it was asked with."""

    history, chunk = 2, 3

    def __init__(self):
        self.asked = []

    def reset(self):
        self.asked.clear()

    def act(self, observations):
        self.asked.append(observations[0].tolist())
        return np.array([[0.1, 0.2, 0.3]], dtype=np.float32)

    def explore(self, observations, rng):
        self.act(observations)
        return np.array([[0.5, 0.5, 0.5]], dtype=np.float32)


def test_an_episode_holds_what_was_executed():
    """T+1 observations around T executed actions, to the robot's horizon, with the task's seed."""
    rollout = play(Constant(0.125), seed=11)
    episode = rollout.episode
    assert len(episode) == 6
    assert episode.observations[:, 0] == pytest.approx(np.arange(7) * 0.125)
    assert episode.actions[:, 0] == pytest.approx(np.full(6, 0.125))
    assert (episode.truncated, episode.terminated, episode.seed, episode.operator) == (True, False, 11, "toy")
    assert (rollout.failure, rollout.interventions, rollout.support_drift) == ("short", 0, 0.0)


def test_an_episode_ends_where_the_robot_ends_it():
    """A terminated episode is not truncated."""
    episode = play(Constant(0.25), robot=Line(terminates=True)).episode
    assert (len(episode), episode.terminated, episode.truncated, episode.success) == (4, True, False, True)


@pytest.mark.parametrize(("rule", "success"), [("last", False), ("any", True)])
def test_success_and_score_follow_the_robots_rule(rule, success):
    """Passing through the goal counts only where some step suffices."""

    class Returning(Constant):
        def act(self, observations):
            return np.where(observations[:, 1:] < 2, 0.5, -0.25).astype(np.float32)

    rollout = play(Returning(), module=line(success_rule=rule), support=False)
    assert rollout.episode.success is success
    assert rollout.episode.score == pytest.approx(1.0 if success else 0.0)


def test_guard_stops_are_interventions_and_the_fallback_is_what_is_learned_from():
    """Proposed and executed action are both kept; the step is marked, and the success would be no certificate."""
    rollout = play(Constant(0.5), position=1.0)
    assert rollout.proposed[:, 0] == pytest.approx(np.full(6, 0.5))
    assert rollout.episode.actions[:, 0] == pytest.approx(np.zeros(6))
    assert rollout.interventions == 6
    assert rollout.episode.intervened.all()
    assert rollout.support_drift == 1.0
    assert rollout.episode.success
    assert not rollout.certified_success


def test_a_clean_success_is_certified():
    """Without an intervention a success counts."""
    assert play(Constant(0.25)).certified_success


def test_an_exploring_policy_falls_back_on_its_greedy_action():
    """On a guard stop the greedy action is executed, and the stop still counts."""
    rollout = play(Constant(0.125, exploring=0.5), rng=np.random.default_rng(0))
    assert rollout.episode.actions[:, 0] == pytest.approx(np.full(6, 0.125))
    assert rollout.interventions == 6


def test_a_greedy_policy_has_no_safer_alternative():
    """Without exploration a guard stop executes the robot's fallback."""
    assert play(Constant(0.5)).episode.actions[:, 0] == pytest.approx(np.zeros(6))


def test_a_person_takes_over_and_it_counts_once():
    """A taken-over step executes the person's action, inside the bounds, and is one intervention, not two."""
    rollout = play(Constant(0.5), person=lambda seen: np.array([9.0]) if seen[1] in (1, 2) else None)
    assert rollout.takeover.tolist() == [False, True, True, False, False, False]
    assert rollout.episode.actions[:, 0] == pytest.approx([0, 0.5, 0.5, 0, 0, 0])
    assert not (rollout.takeover & rollout.guard_stop).any()
    assert rollout.interventions == 6


def test_a_person_at_the_robot_takes_over():
    """What a robot says that a person made it do is what was executed; the rate counts from there."""
    rollout = play(Constant(0.1), robot=Line(held_at=2))
    assert rollout.takeover.tolist() == [False, True, False, False, False, False]
    assert rollout.episode.actions[:2, 0] == pytest.approx([0.1, -0.25])
    assert rollout.episode.intervened.tolist() == rollout.takeover.tolist()
    assert rollout.interventions == 1


@pytest.mark.parametrize("asked", [0, 1, 3])
def test_an_emergency_stop_ends_the_episode_before_the_next_step(asked):
    """No step after the question that says stop; what had been executed is a failed episode with an intervention."""
    robot, answers = Line(), iter([""] * asked + ["the button"])
    with pytest.raises(EmergencyStopError, match="the button") as caught:
        play(Constant(0.1), robot=robot, stop=lambda: next(answers))
    executed = max(0, asked - 1)
    assert (robot.stopped, robot.steps) == (1, executed)
    if not executed:
        assert caught.value.rollout is None
        return
    rollout = caught.value.rollout
    assert isinstance(rollout, Rollout)
    assert (len(rollout.episode), rollout.interventions, rollout.emergency_stop) == (executed, 1, "the button")
    assert rollout.episode.truncated
    assert not rollout.episode.success


def test_a_robot_stops_itself():
    """The step in which it did so is executed and kept; even a success by then is a failure."""
    robot = Line(stops_at=2)
    with pytest.raises(EmergencyStopError, match="red button") as caught:
        play(Constant(0.5), robot=robot, support=False)
    assert (robot.stopped, len(caught.value.rollout.episode)) == (1, 2)
    assert not caught.value.rollout.episode.success


def test_a_stopped_rollout_survives_its_file(tmp_path):
    """Who stopped it is read again; files of episodes that nobody stopped have no such column."""
    with pytest.raises(EmergencyStopError) as caught:
        play(Constant(0.1), robot=Line(stops_at=2))
    write_rollout(tmp_path / "stopped.parquet", caught.value.rollout)
    assert read_rollout(tmp_path / "stopped.parquet").emergency_stop == "its red button"
    write_rollout(tmp_path / "whole.parquet", play(Constant(0.1)))
    assert read_rollout(tmp_path / "whole.parquet").emergency_stop == ""


def test_history_and_chunk_are_honoured():
    """A window of the two latest observations, the first one repeated; three actions before asking again."""
    policy = Windowed()
    rollout = play(policy)
    assert rollout.episode.actions[:, 0] == pytest.approx([0.1, 0.2, 0.3] * 2)
    assert policy.asked == [pytest.approx([0, 0, 0, 0]), pytest.approx([0.3, 2, 0.6, 3])]


def test_the_safer_action_of_a_chunk_is_the_one_in_its_place():
    """On a guard stop in the n-th step of a chunk, the n-th greedy action is executed."""
    rollout = play(Windowed(), rng=np.random.default_rng(0))
    assert rollout.episode.actions[:, 0] == pytest.approx([0.1, 0.2, 0.3] * 2)
    assert rollout.guard_stop.all()


def test_a_policy_is_reset_at_each_episode():
    """Every episode begins with a reset of the policy."""
    policy = Constant()
    for _ in range(2):
        play(policy)
    assert policy.resets == 2


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, RobotError])
def test_the_robot_is_stopped_before_anything_is_raised(error):
    """A failure or an interrupt stops the robot, and then propagates."""
    robot = Line(breaks_at=3, error=error)
    with pytest.raises(error):
        play(Constant(), robot=robot)
    assert robot.stopped == 1


def test_a_blind_sensor_stops_the_robot():
    """An observation that is not finite is no ground for an action."""
    robot = Line(blind_at=2)
    with pytest.raises(RobotError, match="'position' is not finite"):
        play(Constant(), robot=robot)
    assert (robot.stopped, len(robot.commands)) == (1, 2)


def test_a_policy_of_the_wrong_size_stops_the_robot():
    """An answer that does not fit the robot is said to be the policy's fault."""

    class Wide(Constant):
        def act(self, observations):
            return np.zeros((1, 3), dtype=np.float32)

    robot = Line()
    with pytest.raises(PolicyError, match="commands 3 numbers"):
        play(Wide(), robot=robot)
    assert robot.stopped == 1
    assert robot.commands == []


def test_a_rollout_survives_the_disk(tmp_path):
    """What is written is what is read: the episode, every decision, the task to its last digit, the failure."""
    rollout = play(Constant(0.125, exploring=0.5), rng=np.random.default_rng(0), position=(0.1 + 0.2) / 3)
    write_rollout(tmp_path / "one.parquet", rollout)
    again = read_rollout(tmp_path / "one.parquet")
    assert again.task == rollout.task
    assert again.failure == "short"
    assert again.episode.identity == rollout.episode.identity
    for name in ("proposed", "clipped", "outside_support", "guard_stop", "takeover", "support_score"):
        assert np.array_equal(getattr(again, name), getattr(rollout, name)), name
        assert getattr(again, name).dtype == getattr(rollout, name).dtype


def test_scores_that_are_unknown_survive_the_disk(tmp_path):
    """Without support the scores are NaN, before and after."""
    write_rollout(tmp_path / "one.parquet", play(Constant(), support=False))
    assert np.isnan(read_rollout(tmp_path / "one.parquet").support_score).all()


def test_a_file_of_an_older_version_is_read(tmp_path):
    """A run on disk goes on: what its files call a distance is the score of the time."""
    rollout = play(Constant(0.125))
    write_rollout(tmp_path / "new.parquet", rollout)
    episode, columns = read_episode(tmp_path / "new.parquet")
    columns["distance"] = columns.pop("support_score")
    write_episode(tmp_path / "old.parquet", episode, columns)
    again = read_rollout(tmp_path / "old.parquet")
    assert again.support_score == pytest.approx(np.full(6, 0.125))
    assert again.episode.identity == rollout.episode.identity


def test_an_episode_without_its_rollout_is_refused(tmp_path):
    """A file of an episode alone is no rollout."""
    write_episode(tmp_path / "one.parquet", play(Constant()).episode)
    with pytest.raises(DataError, match="no column proposed"):
        read_rollout(tmp_path / "one.parquet")
