"""Jumps of single dimensions, and resets inside an episode."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from offline_to_online.dataset.checks import jumps
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


def long_log():
    return log(30, length=100)


def test_a_smooth_log_does_not_jump():
    """The fastest moves of a swing are its own."""
    assert found(jumps, subject(), seen(long_log())) == []


def test_a_spike_is_found_at_its_row():
    """One row far out is found with its dimension."""

    def spike(rows):
        rows[40, 1] += 30

    episodes = long_log()
    episodes[9] = changed(episodes[9], spike)
    finding = only(found(jumps, subject(), seen(episodes)), "jumps")
    assert (finding.severity, finding.episode, finding.dimension) == ("warning", 9, "observation.o1")
    assert finding.step in (40, 41)


def test_a_spike_in_the_first_episode_is_found_too():
    """What is usual is judged over all episodes, not over those before."""

    def spike(rows):
        rows[40, 1] += 30

    episodes = long_log()
    episodes[0] = changed(episodes[0], spike)
    assert only(found(jumps, subject(), seen(episodes)), "jumps").episode == 0


def test_an_angle_that_wraps_round_does_not_jump():
    """From pi to -pi is a short way."""
    turns = [(np.linspace(0, 40, 401) + seed + np.pi) % (2 * np.pi) - np.pi for seed in range(12)]
    episodes = [logged(np.column_stack([turn, np.cos(turn), np.sin(turn)]).astype("f4")) for turn in turns]
    assert found(jumps, subject(), seen(episodes)) == []


def test_a_goal_that_changes_within_an_episode_is_a_jump():
    """A dimension that is constant in every episode but one says that something was moved, or two episodes merged."""

    def with_goal(one, seed):
        rows = np.column_stack([one.sensors["state"], np.full(101, seed)]).astype("f4")
        rows[60:, 3] += 0.3 * (seed == 5)
        return dataclasses.replace(one, sensors={"state": rows})

    episodes = [with_goal(one, seed) for seed, one in enumerate(long_log())]
    finding = only(found(jumps, subject(4), seen(episodes)), "jumps")
    assert (finding.episode, finding.step, finding.dimension) == (5, 60, "observation.o3")


def test_few_episodes_give_a_notice_only():
    """Nobody knows what is usual for a data set of one episode."""

    def spike(rows):
        rows[900, 1] += 30

    finding = only(found(jumps, subject(), seen([changed(logged(smooth(0, length=1500)), spike)])), "jumps")
    assert finding.severity == "notice"


def test_the_jumps_of_the_robots_are_found_at_about_their_number(shared_data: Path):
    """NAO: 63 robot jumps over 0.3 m and 56 ball jumps over 0.5 m are documented; no threshold is given here."""
    known, episodes = real(shared_data, "nao")
    check = jumps.LargeSteps(known)
    for one in episodes:
        check.see(one)
    assert 50 <= len(check.places((0, 1))) <= 75
    assert 45 <= len(check.places((3, 4))) <= 70
    findings = list(check.findings())
    assert {f.dimension for f in findings if f.check == "jumps" and f.severity == "warning"} >= {
        "observation.robot_x_m",
        "observation.robot_y_m",
        "observation.ball_x_m",
        "observation.ball_y_m",
    }
    worst = only(findings, "jumps", dimension="observation.robot_x_m")
    assert (worst.episode, worst.step) == (45, 635)
    assert only(findings, "unmarked_boundary").severity == "warning"


@pytest.mark.parametrize("name", ["door", "fetch", "pendulum", "pusht", "maze", "push"])
def test_other_real_logs_do_not_jump(shared_data: Path, name: str):
    """Contacts, bursts and angles of real logs give no warning."""
    assert [f for f in found(jumps, *real(shared_data, name)) if f.severity != "notice"] == []


@pytest.mark.parametrize("name", ["pendulum", "fetch", "door", "pusht"])
def test_a_spike_in_a_real_log_is_found(shared_data: Path, name: str):
    """A row ten standard deviations off is found at its place."""
    known, episodes = real(shared_data, name)
    rows = episodes[11].episode.observations.copy()
    rows[30, 1] += 10 * np.concatenate([one.episode.observations for one in episodes]).std(axis=0)[1]
    findings = found(jumps, known, exchanged(episodes, with_rows(episodes[11], rows)))
    finding = only(findings, "jumps", dimension=f"observation.{known.observation[1]}", episode=11)
    assert finding.severity == "warning"
    assert finding.step in (30, 31)


@pytest.mark.parametrize("name", ["fetch", "door", "pusht"])
def test_two_episodes_that_run_into_one_are_found(shared_data: Path, name: str):
    """Where the flag between two episodes is lost, the row of the second start is named."""
    known, episodes = real(shared_data, name)
    first, second = episodes[4], episodes[9]
    joined = {
        part: np.concatenate([getattr(first.episode, part), getattr(second.episode, part)])
        for part in ("actions", "rewards", "cost", "intervened")
    }
    rows = np.concatenate([first.episode.observations[:-1], second.episode.observations])
    findings = found(jumps, known, exchanged(episodes, with_rows(first, rows, **joined)))
    finding = only(findings, "unmarked_boundary")
    assert (finding.episode, finding.step) == (4, len(first.episode))


def test_memory_stays_bounded_where_every_row_jumps():
    """Heavy tails fill the candidates up to their limit, and not beyond."""
    rng = np.random.default_rng(0)
    check = jumps.LargeSteps(subject())
    for one in seen([logged(rng.standard_cauchy((5001, 3)).astype("f4"), seed=i) for i in range(20)]):
        check.see(one)
    assert len(check.noted.step) <= 2 * jumps.KEPT_ROWS
    assert list(check.findings())
