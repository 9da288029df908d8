"""Where episodes start."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from offline_to_online.dataset.checks import RobotFacts, resets
from tests.dataset.checks.timed_logs import (
    changed,
    exchanged,
    found,
    log,
    logged,
    only,
    real,
    seen,
    smooth,
    subject,
    with_rows,
)


def robot(label, outside=None):
    return RobotFacts(name="slider", label=label, horizon=60, ends_on_success=False, resets_outside=outside)


def starts_moved(seed):
    """Rows of an episode that starts where the others do, but for some noise."""
    rows = smooth(seed)
    return rows - rows[0] + np.random.default_rng(seed).normal(0, 0.01, 3).astype("f4")


def test_starts_that_spread_are_no_outliers():
    """Uniform starts, and normal ones."""
    assert found(resets, subject(), seen(log(40))) == []
    assert found(resets, subject(), seen([logged(starts_moved(seed), seed=seed) for seed in range(40)])) == []


def test_a_start_far_from_the_others_is_found():
    """One episode of thirty starts elsewhere, in one dimension."""
    episodes = [logged(starts_moved(seed), seed=seed) for seed in range(30)]
    episodes[12] = changed(episodes[12], lambda rows: rows.__setitem__((slice(None), 1), rows[:, 1] + 4))
    finding = only(found(resets, subject(), seen(episodes)), "reset_outlier")
    assert (finding.severity, finding.episode, finding.dimension) == ("warning", 12, "observation.o1")


def test_a_second_way_to_start_is_no_outlier():
    """Where a quarter of the episodes starts elsewhere, that is a part of the distribution."""
    episodes = [logged(starts_moved(seed) + 3 * (seed % 4 == 0), seed=seed) for seed in range(40)]
    assert found(resets, subject(), seen(episodes)) == []


def test_starts_outside_what_the_robot_declares_are_counted():
    """The robot knows its reset range."""
    outside = robot(lambda o, a: SimpleNamespace(success=False), lambda firsts: firsts[:, 0] > 0.5)
    episodes = seen(log(40))
    expected = [one.index for one in episodes if one.episode.observations[0, 0] > 0.5]
    finding = only(found(resets, subject(robot=outside), episodes), "reset_outside_declared")
    assert (finding.severity, finding.episode, finding.count) == ("warning", expected[0], len(expected))


def with_facts(facts):
    return seen([dataclasses.replace(one, facts=facts(one)) for one in log(10)])


def test_two_versions_of_the_start_state_that_differ_are_found():
    """The remedy says which of them is the state of the first observation."""

    def facts(one):
        first = one.sensors["state"][0].astype(np.float64)
        return {"episodes/init": np.zeros(3), "episodes/init_replayed": first}

    finding = only(found(resets, subject(), with_facts(facts)), "conflicting_start_states")
    assert (finding.severity, finding.count) == ("warning", 10)
    assert "agrees with episodes/init_replayed" in finding.remedy


def test_two_versions_that_agree_but_for_rounding_do_not_conflict():
    """float32 and float64 of one state."""

    def facts(one):
        first = one.sensors["state"][0]
        return {"episodes/init": first, "episodes/init_replayed": first.astype(np.float64) * (1 + 1e-7)}

    assert found(resets, subject(), with_facts(facts)) == []


def test_a_start_state_of_another_episode_is_found():
    """A table that agrees with nine episodes and contradicts the tenth was shifted there."""
    episodes = log(10)

    def facts(one):
        row = one.sensors["state"][0].astype(np.float64)
        return {"episodes/start": row + (one is episodes[6])}

    shown = seen([dataclasses.replace(one, facts=facts(one)) for one in episodes])
    finding = only(found(resets, subject(), shown), "conflicting_start_states")
    assert (finding.episode, finding.count) == (6, 1)


def test_a_flag_at_the_first_step_is_a_start_in_success():
    """The log's own flag is believed first."""
    flags = [np.arange(60) > 40 * (i != 3) - 1 for i in range(10)]
    episodes = [dataclasses.replace(one, successes=flag) for one, flag in zip(log(10), flags, strict=True)]
    finding = only(found(resets, subject(), seen(episodes)), "starts_in_success")
    assert (finding.severity, finding.episode, finding.count) == ("warning", 3, 1)


def test_the_robot_tells_a_start_in_success_where_nothing_is_logged():
    """Its judgement of the first observation, standing still."""
    judge = robot(lambda observations, actions: SimpleNamespace(success=bool(observations[-1, 0] > 0.9)))
    episodes = seen(log(40))
    expected = [one.index for one in episodes if one.episode.observations[0, 0] > 0.9]
    finding = only(found(resets, subject(robot=judge), episodes), "starts_in_success")
    assert (finding.episode, finding.count) == (expected[0], len(expected))


def test_a_sparse_reward_tells_a_start_in_success():
    """Two values of reward, the higher at once where the others begin with the lower."""
    steps = np.arange(60)
    episodes = [dataclasses.replace(one, rewards=(steps > 40 * (i != 3)) - 1.0) for i, one in enumerate(log(10))]
    episodes[3] = dataclasses.replace(episodes[3], rewards=np.zeros(60))
    finding = only(found(resets, subject(), seen(episodes)), "starts_in_success")
    assert (finding.episode, finding.count) == (3, 1)


def test_what_is_known_of_the_real_logs_is_found(shared_data: Path):
    """Nine fetch episodes start in success; door's init_qpos is not where its episodes start."""
    fetch = only(found(resets, *real(shared_data, "fetch")), "starts_in_success")
    assert (fetch.episode, fetch.count) == (0, 9)
    door = only(found(resets, *real(shared_data, "door")), "conflicting_start_states")
    assert door.count == 25
    assert "init_qpos_from_first_observation" in door.remedy


@pytest.mark.parametrize("name", ["nao", "pendulum", "pusht", "maze", "push"])
def test_other_real_logs_start_well(shared_data: Path, name: str):
    """No outliers among real resets."""
    assert found(resets, *real(shared_data, name)) == []


@pytest.mark.parametrize("name", ["pendulum", "fetch", "door", "pusht"])
def test_a_reset_far_away_in_a_real_log_is_found(shared_data: Path, name: str):
    """A first observation twenty standard deviations off."""
    known, episodes = real(shared_data, name)
    rows = episodes[8].episode.observations.copy()
    rows[0, 1] += 20 * np.concatenate([one.episode.observations for one in episodes]).std(axis=0)[1]
    findings = found(resets, known, exchanged(episodes, with_rows(episodes[8], rows)))
    finding = only(findings, "reset_outlier")
    assert (finding.episode, finding.dimension) == (8, f"observation.{known.observation[1]}")
