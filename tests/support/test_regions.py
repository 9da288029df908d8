"""Coverage of the data by region."""

from __future__ import annotations

import numpy as np
import pytest

from offline_to_online.errors import SupportError
from offline_to_online.support.regions import coverage, joined


def test_steps_and_episodes_of_each_region_are_counted(module, episode_of):
    """Shares of steps and of episodes, and the unsupported regions by name."""
    left, right = np.full((9, 4), -1.0), np.full((3, 4), 1.0)
    found = coverage([episode_of(left, np.ones((8, 2))), episode_of(right, np.zeros((2, 2)))], module)
    rows = found["regions"]
    assert rows["reset_state/left"] == {
        "steps": 8,
        "step_share": 0.8,
        "episodes": 1,
        "episode_share": 0.5,
        "supported": True,
    }
    assert rows["saturation/first"]["steps"] == 8
    assert found["unsupported"] == ["gripper_pose/far"]
    assert (found["steps"], found["episodes"]) == (10, 2)


def test_a_share_below_the_minimum_is_unsupported(module, make_log):
    """A region with some steps, but fewer than asked for, is named too."""
    log = make_log(0, 5)
    robots = [n for n in sorted(coverage(log, module)["regions"]) if not n.startswith("sensor/")]
    assert coverage(log, module, minimum_share=0.999)["unsupported"] == robots
    assert coverage(log, module, minimum_share=0.0)["unsupported"] == ["gripper_pose/far", "saturation/first"]


def test_a_sensor_that_never_moves_is_named(module, make_log):
    """A missing sensor shows as a constant, and an unused joint too."""
    log = make_log(0, 3)
    assert coverage(log, module)["silent_sensors"] == []
    for one in log:
        one.observations[:, 2] = 0.7
        one.actions[:, 1] = 0.0
    found = coverage(log, module)
    assert found["silent_sensors"] == ["sensor_2"]
    assert found["regions"]["sensor/sensor_2"]["steps"] == 0
    assert found["regions"]["missing_sensor/sensor_2"]["episode_share"] == 1.0
    assert "sensor/sensor_2" in found["unsupported"]
    assert found["silent_actions"] == ["joint_1"]


def test_episodes_of_another_robot_are_refused(module, episode_of):
    """Regions are a robot's own: other dimensions are not looked at."""
    with pytest.raises(SupportError, match=r"5 observation and 2 action dimensions .*the robot has 4 and 2"):
        coverage([episode_of(np.zeros((3, 5)), np.zeros((2, 2)))], module)


def test_a_row_names_all_its_regions():
    """Names are sorted and joined by a semicolon; a row in none is empty."""
    masks = {"b": np.array([True, False, True]), "a": np.array([True, False, False])}
    assert joined(masks, 3) == ["a;b", "", "b"]
    assert joined({}, 2) == ["", ""]
