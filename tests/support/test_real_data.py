"""Support on real human data: the data supports itself, and a random policy lies outside."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from offline_to_online.plugins import module_for
from offline_to_online.robots._recording import record_log
from offline_to_online.support.calibration import calibrate
from offline_to_online.support.estimator import SupportConfig, SupportEstimator

ALPHA = 0.05
# name, action bounds, episodes for training, for calibration
LOGS = [
    ("pusht_human", 0.0, 512.0, 120, 50),
    ("adroit_door_human", -1.0, 1.0, 20, 0),
    ("fetch_pick_and_place_scripted", -1.0, 1.0, 120, 50),
]


def read(path, low, high, episode_of):
    """Episodes of a D4RL-layout file, actions clipped to the robot's bounds, in random order."""
    with h5py.File(path) as file:
        observations, actions = file["observations"][:], np.clip(file["actions"][:], low, high)
        ends = file["episodes/ends"][:]
    starts = [0, *ends[:-1]]
    rows = [episode_of(observations[a:b], actions[a : b - 1]) for a, b in zip(starts, ends, strict=True)]
    return [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]


@pytest.mark.parametrize(("name", "low", "high", "train", "held"), LOGS, ids=[row[0] for row in LOGS])
def test_a_random_policy_is_outside_and_the_data_is_not(name, low, high, train, held, shared_data, episode_of):
    """At alpha 0.05 a uniformly random policy drifts above 0.5, and clean held-out episodes about alpha."""
    rows = read(shared_data / "d4rl" / f"{name}.hdf5", low, high, episode_of)
    fitted, kept, fresh = rows[:train], rows[train : train + held], rows[train + held :]
    estimator = SupportEstimator.fit(fitted, SupportConfig())
    calibration = calibrate(estimator, kept, fitted, ALPHA)
    rng = np.random.default_rng(1)
    clean, random = [], []
    for one in fresh:
        states = one.observations[:-1]
        uniform = rng.uniform(low, high, size=one.actions.shape)
        clean.append((estimator.score(states, one.actions) > calibration.step_threshold).mean())
        random.append((estimator.score(states, uniform) > calibration.step_threshold).mean())
    print(f"{name}: {calibration.method}, clean {np.mean(clean):.3f}, random {np.mean(random):.3f}")
    assert calibration.method == ("split" if held else "cross-conformal")
    assert np.mean(random) > 0.5
    assert np.mean(clean) < 2 * ALPHA


def test_a_random_policy_is_outside_a_mixed_log_of_operators():
    """The warehouse log (experts, recoveries, failures) is the hardest: blocks tumble, actions fill their bounds."""
    robot = module_for("robots", "fetch_pick_and_place")
    recorded = record_log(robot, {"expert": 28, "recovery": 42, "biased": 70}, seed=0)
    rows = [recorded[i] for i in np.random.default_rng(0).permutation(len(recorded))]
    estimator = SupportEstimator.fit(rows[:90], SupportConfig())
    threshold = calibrate(estimator, rows[90:130], rows[:90], ALPHA).step_threshold
    rng = np.random.default_rng(1)
    clean, random = [], []
    for one in rows[130:]:
        states = one.observations[:-1]
        uniform = rng.uniform(robot.SPEC.action.low, robot.SPEC.action.high, size=one.actions.shape)
        clean.append((estimator.score(states, one.actions) > threshold).mean())
        random.append((estimator.score(states, uniform) > threshold).mean())
    print(f"mixed fetch: clean {np.mean(clean):.3f}, random {np.mean(random):.3f}")
    assert np.mean(random) > 0.5
    assert np.mean(clean) < 2 * ALPHA
