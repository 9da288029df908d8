"""Which sensors the episodes have."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from offline_to_online.dataset.spec import Dimension, ObservationSchema
from offline_to_online.errors import SupportError
from offline_to_online.support.sensors import sensor_regions

LENGTHS = np.array([4, 3, 5])
NAMES = ("hand", "goal_x", "goal_y")
SENSORS = {"encoder": ("hand",), "goal camera": ("goal_x", "goal_y")}


def spec(**fields):
    dimensions = tuple(Dimension(name=name, unit="m", low=-1.0, high=1.0) for name in NAMES)
    return SimpleNamespace(observation=ObservationSchema(dimensions=dimensions), **fields)


@pytest.fixture
def observations():
    """Three episodes: the hand moves in each, the goal stands still, elsewhere in each."""
    rng = np.random.default_rng(0)
    goals = np.repeat(rng.uniform(size=(3, 2)), LENGTHS, axis=0)
    return np.concatenate([rng.uniform(size=(12, 1)), goals], axis=1).astype("f4")


def test_a_goal_that_differs_from_episode_to_episode_is_there(observations):
    """Standing still within an episode is not missing; and nothing is said of what never fails."""
    found = sensor_regions(spec(sensor_dimensions=SENSORS), observations, LENGTHS)
    assert list(found) == ["sensor/encoder", "sensor/goal camera"]
    assert all(mask.all() for mask in found.values())


def test_a_placeholder_in_two_episodes_is_a_missing_sensor(observations):
    """All rows of those episodes are missing it, whatever the placeholder is, and no other row is."""
    observations[:7, 1:] = 0.25
    found = sensor_regions(spec(sensor_dimensions=SENSORS), observations, LENGTHS)
    assert found["missing_sensor/goal camera"].tolist() == [True] * 7 + [False] * 5
    assert (found["sensor/goal camera"] == ~found["missing_sensor/goal camera"]).all()
    assert "missing_sensor/encoder" not in found


def test_half_a_sensor_is_a_sensor(observations):
    """While one of its dimensions lives, a sensor is there."""
    observations[:, 1] = 0.0
    assert sensor_regions(spec(sensor_dimensions=SENSORS), observations, LENGTHS)["sensor/goal camera"].all()


def test_a_joint_that_rests_in_one_episode_is_there(observations):
    """A single episode at one reading is no placeholder, nor is an episode of a single step."""
    observations[:4, 0] = 0.0
    observations[[4, 7], 1] = 0.5
    assert sensor_regions(spec(), observations, LENGTHS)["sensor/hand"].all()
    short = np.zeros((2, 3), dtype="f4")
    assert sensor_regions(spec(), short, np.array([1, 1]))["sensor/hand"].all()


def test_of_several_shared_readings_the_most_frequent_is_the_placeholder():
    """Two goals that come again and again are goals; only the more frequent one is taken for a placeholder."""
    rows = np.repeat([[0.1], [0.1], [0.7], [0.7], [0.7]], 2, axis=0).astype("f4") * np.ones((1, 3), dtype="f4")
    found = sensor_regions(spec(), rows, np.full(5, 2))
    assert found["missing_sensor/goal_x"].tolist() == [False] * 4 + [True] * 6


def test_without_a_declaration_each_dimension_is_a_sensor(observations):
    """A stranger's robot says nothing of sensors: its dimensions are named instead."""
    for one in (spec(), spec(sensor_dimensions={})):
        assert list(sensor_regions(one, observations, LENGTHS)) == ["sensor/hand", "sensor/goal_x", "sensor/goal_y"]


def test_a_sensor_of_unknown_dimensions_is_refused(observations):
    """The robot's SPEC names what it does not have."""
    with pytest.raises(SupportError, match=r"no observation dimension 'goal_z' .*hand, goal_x, goal_y"):
        sensor_regions(spec(sensor_dimensions={"goal camera": ("goal_x", "goal_z")}), observations, LENGTHS)
