"""Where episodes end and why."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from offline_to_online.dataset.checks import RobotFacts, Seen, boundaries
from tests.dataset.checks.timed_logs import found, log, logged, only, real, seen, smooth, subject

LAST = np.arange(60) == 59
NEVER = np.zeros(60, dtype=bool)


def robot(*, success: bool = False, horizon: int = 60, ends_on_success: bool = True) -> RobotFacts:
    return RobotFacts(
        name="slider",
        label=lambda observations, actions: SimpleNamespace(success=success),
        horizon=horizon,
        ends_on_success=ends_on_success,
    )


def names(findings):
    return {f.check for f in findings}


def ended(count=8, length=60, **changes):
    flags = {"terminals": np.arange(length) == length - 1, "timeouts": np.zeros(length, dtype=bool)}
    return [dataclasses.replace(one, **{**flags, **changes}) for one in log(count, length=length)]


def cut_in_two(one: Seen, at: int) -> list[Seen]:
    halves = []
    for part in (slice(0, at), slice(at, len(one.episode))):
        steps = slice(part.start, part.stop + 1)
        rows = one.episode.observations[steps]
        fields = {name: getattr(one.episode, name)[part] for name in ("actions", "rewards", "cost", "intervened")}
        sensor, after = next(iter(one.logged.sensors)), bool(one.logged.following)
        halves.append(
            Seen(
                index=one.index + len(halves),
                episode=dataclasses.replace(one.episode, observations=rows, **fields),
                logged=dataclasses.replace(
                    one.logged,
                    sensors={sensor: rows[:-1] if after else rows},
                    following={sensor: rows[1:]} if after else {},
                    actions=fields["actions"],
                ),
            )
        )
    return halves


def test_episodes_that_end_by_time_limits_have_nothing_to_say():
    """Flags, next observations and equal lengths: all is told."""
    assert found(boundaries, subject(), seen(log())) == []


def test_terminals_without_timeouts_are_a_warning_where_all_end_alike():
    """Nothing says which of them a time limit cut."""
    episodes = [dataclasses.replace(one, timeouts=None) for one in ended()]
    finding = only(found(boundaries, subject(), seen(episodes)), "missing_timeouts")
    assert (finding.severity, finding.count) == ("warning", 8)


def test_no_flags_at_all_are_a_notice():
    """Demonstrations that just stop count as cut, and that is said."""
    episodes = [dataclasses.replace(one, timeouts=None, terminals=None) for one in log(8)]
    finding = only(found(boundaries, subject(), seen(episodes)), "missing_timeouts")
    assert finding.severity == "notice"


def test_a_last_step_without_next_observation_is_counted():
    """Dropped where it was cut, repeated where it ended."""
    cut = [logged(smooth(seed), seed=seed, final=False) for seed in range(3)]
    done = logged(smooth(3), final=False, terminals=LAST, timeouts=NEVER)
    finding = only(found(boundaries, subject(), seen([*cut, done])), "missing_next_observations")
    assert (finding.severity, finding.count, finding.episode) == ("notice", 4, 0)
    assert "last step of 3" in finding.message


def test_time_outs_flagged_as_terminal_are_a_warning():
    """Every terminal episode is as long as the longest: a time limit, not the task."""
    finding = only(found(boundaries, subject(), seen(ended())), "cut_marked_as_terminal")
    assert (finding.severity, finding.count) == ("warning", 8)


@pytest.mark.parametrize(("said", "severity"), [(None, "warning"), ("logged", "error"), ("believed", "warning")])
@pytest.mark.parametrize("known", [{"robot": robot()}, {}])
def test_time_outs_flagged_as_terminal_at_the_known_horizon(said, severity, known):
    """All as long as the robot or the manifest allows, none a success: an error until the manifest says otherwise."""
    declared = None if said is None else SimpleNamespace(terminals=said, episode_horizon=60)
    finding = only(found(boundaries, subject(manifest=declared, **known), seen(ended())), "cut_marked_as_terminal")
    assert (finding.severity, finding.count) == (severity, 8)
    assert "terminals: ignore in the manifest where a time limit ended them, believed where" in finding.remedy


def test_successes_at_the_horizon_are_no_error():
    """An episode that reached its goal may have ended there."""
    declared = SimpleNamespace(terminals="logged", episode_horizon=60)
    findings = found(boundaries, subject(robot=robot(success=True), manifest=declared), seen(ended()))
    assert only(findings, "cut_marked_as_terminal").severity == "warning"


def test_terminal_episodes_of_many_lengths_are_none_of_it():
    """A task that ends when it is done ends at different times."""
    episodes = [one for length in (30, 41, 52, 60) for one in ended(2, length=length)]
    assert "cut_marked_as_terminal" not in names(found(boundaries, subject(), seen(episodes)))


def test_terminal_without_success_is_a_warning_for_a_robot_that_ends_on_success():
    """The robot's own judgement contradicts the flag."""
    episodes = [one for length in (30, 41, 60) for one in ended(2, length=length)]
    finding = only(found(boundaries, subject(robot=robot()), seen(episodes)), "cut_marked_as_terminal")
    assert (finding.severity, finding.count) == ("warning", 6)


def test_an_episode_that_goes_on_in_the_next_is_found():
    """One episode cut in two, among others that start anew."""
    episodes = seen(log(8))
    pieces = [*episodes[:3], *cut_in_two(episodes[3], 25), *episodes[4:]]
    finding = only(found(boundaries, subject(), pieces), "episode_continues")
    assert (finding.severity, finding.episode, finding.count) == ("warning", 4, 1)


def test_a_log_in_slices_is_a_notice():
    """Where every boundary continues, that is how the data is."""
    whole = smooth(0, length=300)
    slices = seen([logged(whole[start : start + 31], seed=start) for start in range(0, 300, 30)])
    assert only(found(boundaries, subject(), slices), "episode_continues").severity == "notice"


def test_episodes_longer_than_the_robots_horizon_are_a_warning():
    """The robot would have stopped."""
    finding = only(found(boundaries, subject(robot=robot(horizon=50)), seen(log())), "horizon")
    assert (finding.severity, finding.step, finding.count) == ("warning", 50, 12)


def test_a_few_episodes_longer_than_all_others_are_a_warning():
    """Nine of ten have the same length, one is longer."""
    episodes = seen([*log(9), logged(smooth(9, length=71), seed=9)])
    finding = only(found(boundaries, subject(), episodes), "horizon")
    assert (finding.episode, finding.step, finding.count) == (9, 60, 1)


def test_remnants_are_short_episodes():
    """Two steps where the others have sixty."""
    episodes = seen([*log(11), logged(smooth(11, length=2), seed=11)])
    finding = only(found(boundaries, subject(), episodes), "short_episodes")
    assert (finding.severity, finding.episode, finding.count) == ("warning", 11, 1)


def test_what_is_known_of_the_real_logs_is_found(shared_data: Path):
    """Fetch is too long, the robots' log is in slices, the maze has no time-outs, door no next observations."""
    fetch = only(found(boundaries, *real(shared_data, "fetch")), "horizon")
    assert (fetch.episode, fetch.step, fetch.count) == (18, 50, 15)
    nao = only(found(boundaries, *real(shared_data, "nao")), "episode_continues")
    assert (nao.severity, nao.count) == ("notice", 55)
    maze = found(boundaries, *real(shared_data, "maze"))
    assert only(maze, "missing_timeouts").severity == "warning"
    assert only(maze, "short_episodes").severity == "notice"
    door = found(boundaries, *real(shared_data, "door"))
    assert only(door, "missing_next_observations").count == 25
    push = only(found(boundaries, *real(shared_data, "push")), "cut_marked_as_terminal")
    assert (push.severity, push.count) == ("warning", 3)


@pytest.mark.parametrize("name", ["pendulum", "pusht"])
def test_real_logs_with_sound_boundaries(shared_data: Path, name: str):
    """Nothing to say of an expert's and of people's episodes."""
    assert found(boundaries, *real(shared_data, name)) == []


@pytest.mark.parametrize("name", ["pendulum", "fetch", "door", "pusht"])
def test_a_real_episode_cut_in_two_is_found(shared_data: Path, name: str):
    """The second half is named."""
    known, episodes = real(shared_data, name)
    pieces = [*episodes[:5], *cut_in_two(episodes[5], 24)]
    pieces += [dataclasses.replace(one, index=one.index + 1) for one in episodes[6:]]
    finding = only(found(boundaries, known, pieces), "episode_continues")
    assert (finding.severity, finding.episode, finding.count) == ("warning", 6, 1)
