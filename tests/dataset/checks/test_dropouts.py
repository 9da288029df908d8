"""Sensors that stop changing or read zero while the others go on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from offline_to_online.dataset.checks import dropouts
from tests.dataset.checks.timed_logs import changed, exchanged, found, log, only, real, seen, subject, with_rows


def test_a_log_in_which_all_sensors_go_on_has_nothing_to_say():
    """Dimensions that always move are no finding."""
    assert found(dropouts, subject(), seen(log())) == []


def test_a_dimension_that_freezes_is_found_where_it_begins():
    """Thirty rows without a change, among others that move."""

    def freeze(rows):
        rows[20:50, 1] = rows[20, 1]

    episodes = log()
    episodes[3] = changed(episodes[3], freeze)
    finding = only(found(dropouts, subject(), seen(episodes)), "frozen_sensor")
    assert (finding.episode, finding.step, finding.dimension, finding.count) == (3, 20, "observation.o1", 30)


def test_dimensions_that_stop_together_are_one_finding():
    """A sensor of two dimensions that stops is named once, with both."""

    def freeze(rows):
        rows[:, 1:] = rows[0, 1:]

    episodes = log()
    episodes[3] = changed(episodes[3], freeze)
    finding = only(found(dropouts, subject(), seen(episodes)), "frozen_sensor")
    assert "observation.o2" in finding.message


def test_a_dimension_that_falls_to_zero_is_a_dropout():
    """Five rows of zero between values that are far from it."""

    def drop(rows):
        rows[20:25, 1] = 0

    episodes = [changed(one, lambda rows: np.add(rows, 5, out=rows)) for one in log()]
    episodes[3] = changed(episodes[3], drop)
    finding = only(found(dropouts, subject(), seen(episodes)), "sensor_dropout")
    assert (finding.episode, finding.step, finding.dimension, finding.count) == (3, 20, "observation.o1", 5)


def test_a_goal_is_not_a_frozen_sensor():
    """What is constant within every episode is a setting, whatever its value; zero too."""
    episodes = [changed(one, lambda rows, i=i: rows.__setitem__((slice(None), 1), i)) for i, one in enumerate(log())]
    assert found(dropouts, subject(), seen(episodes)) == []


def test_a_thing_that_rests_until_touched_is_not_a_frozen_sensor():
    """A block that stands still for half of every episode does what blocks do."""
    episodes = [changed(one, lambda rows: rows.__setitem__((slice(0, 30), 1), rows[30, 1])) for one in log()]
    assert found(dropouts, subject(), seen(episodes)) == []


def test_a_log_that_stands_still_as_a_whole_is_no_dropout():
    """Rows that repeat in all dimensions are repeated samples."""

    def stall(rows):
        rows[10:50] = rows[10]

    episodes = log()
    episodes[3] = changed(episodes[3], stall)
    assert found(dropouts, subject(), seen(episodes)) == []


@pytest.mark.parametrize("name", ["door", "fetch", "nao", "pendulum", "pusht", "push"])
def test_real_logs_without_dropouts(shared_data: Path, name: str):
    """Resting blocks, latches and tracked balls are no finding."""
    assert found(dropouts, *real(shared_data, name)) == []


@pytest.mark.parametrize(("name", "dimension"), [("pendulum", 2), ("fetch", 0), ("door", 3), ("pusht", 0), ("nao", 3)])
def test_a_sensor_that_is_missing_from_a_real_episode_is_found(shared_data: Path, name: str, dimension: int):
    """Zero for a whole episode where the other episodes have values."""
    known, episodes = real(shared_data, name)
    rows = episodes[6].episode.observations.copy()
    rows[:, dimension] = 0
    finding = only(found(dropouts, known, exchanged(episodes, with_rows(episodes[6], rows))), "sensor_dropout")
    assert (finding.episode, finding.step) == (6, 0)
    assert finding.dimension == f"observation.{known.observation[dimension]}"


def test_too_few_episodes_say_nothing():
    """What is usual for a dimension is not known from two episodes."""
    episodes = log(2)
    frozen = dataclasses.replace(episodes[1], sensors={"state": np.ones((61, 3), dtype="f4")})
    assert found(dropouts, subject(), seen([episodes[0], frozen])) == []
