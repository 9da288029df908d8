"""The audit of what a policy proposes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from offline_to_online.errors import PolicyError, SupportError
from offline_to_online.support.audit import audit
from offline_to_online.support.calibration import calibrate
from offline_to_online.support.estimator import SupportConfig, SupportEstimator


class Cloned:
    """Acts as the logger did; explores uniformly."""

    sha256 = "c" * 64

    def __init__(self):
        self.resets = 0

    def reset(self):
        self.resets += 1

    def act(self, observations):
        return (np.tanh(observations[:, :2]) * 0.8).astype("f4")

    def explore(self, observations, rng):
        return rng.uniform(-1, 1, size=(len(observations), 2)).astype("f4")


class Opposed(Cloned):
    """Proposes the saturated opposite of what was logged."""

    def act(self, observations):
        return (-1.5 * np.sign(observations[:, :2])).astype("f4")


class Broken(Cloned):
    """Proposes NaN."""

    def act(self, observations):
        return np.full((len(observations), 2), np.nan)


class Narrow(Cloned):
    """Proposes one dimension too few."""

    def act(self, observations):
        return np.zeros((len(observations), 1))


@pytest.fixture
def parts(make_log):
    """Estimator, calibration and held-out episodes of one log."""
    rows = make_log(0, 80)
    estimator = SupportEstimator.fit(rows[:40], SupportConfig())
    return estimator, calibrate(estimator, rows[40:70], rows[:40], 0.05), rows[70:]


def judged(policy, parts, module, seed=0):
    return audit(policy, *parts, module, np.random.default_rng(seed), name="bc")


def test_a_policy_like_the_data_is_inside_and_its_opposite_is_not(parts, module):
    """The greedy clone drifts about as the data does, uniform exploration and the opposite mostly lie outside."""
    clone, opposed = judged(Cloned(), parts, module).metrics, judged(Opposed(), parts, module).metrics
    assert clone["outside_support_rate"] < 0.2
    assert clone["outside_support_rate_exploring"] > 0.5
    assert opposed["outside_support_rate"] > 0.8
    assert opposed["log_prob"]["median"] < clone["log_prob"]["median"] - 5
    assert opposed["distance"]["p95"] > clone["distance"]["p95"]
    assert (opposed["saturation_rate"], clone["saturation_rate"]) == (1.0, 0.0)


def test_every_state_has_a_row_in_every_mode(parts, module):
    """One row per held-out step for greedy, exploring and the data's own action, with the columns promised."""
    policy = Cloned()
    found = judged(policy, parts, module)
    columns = ["episode", "step", "mode", "score", "distance", "log_prob", "saturated", "outside", "region"]
    assert list(found.actions)[:9] == columns
    assert found.actions.groupby("mode").size().to_dict() == {"data": 120, "exploring": 120, "greedy": 120}
    assert found.metrics["states"] == 120
    assert set(found.actions["episode"]) == {e.identity for e in parts[2]}
    assert policy.resets == 20


def test_the_metrics_name_what_they_rest_on(parts, module):
    """Policy, estimator and calibration by hash; greedy, exploring and data apart."""
    estimator, calibration, _ = parts
    metrics = judged(Cloned(), parts, module).metrics
    assert metrics["policy"] == "bc"
    assert metrics["policy_sha256"] == "c" * 64
    assert metrics["estimator_sha256"] == estimator.sha256
    assert metrics["calibration_sha256"] == calibration.sha256
    assert metrics["greedy"]["outside_support_rate"] == metrics["outside_support_rate"]
    assert metrics["exploring"]["outside_support_rate"] == metrics["outside_support_rate_exploring"]
    assert metrics["data"]["outside_support_rate"] < 0.2


def test_the_rate_is_that_of_the_rows(parts, module):
    """outside means beyond the step threshold, and the rate is the mean over episodes of the share of steps."""
    found = judged(Opposed(), parts, module)
    rows = found.actions[found.actions["mode"] == "greedy"]
    assert (rows["outside"] == (rows["score"] > parts[1].step_threshold)).all()
    assert found.metrics["outside_support_rate"] == pytest.approx(rows.groupby("episode")["outside"].mean().mean())
    beyond = (rows["score"] > parts[1].episode_threshold).mean()
    assert found.metrics["beyond_episode_threshold_rate"] == pytest.approx(beyond)


def test_regions_show_by_name_what_one_number_hides(parts, module):
    """A policy that goes where the data never was is named with the region, worst first."""
    metrics = judged(Opposed(), parts, module).metrics
    saturation = metrics["regions"]["saturation/first"]
    assert saturation["data_share"] == 0.0
    assert saturation["proposal_share"] == 1.0
    assert saturation["worst_score"] > parts[1].step_threshold
    assert saturation["worst_distance"] > 0
    assert "saturation/first" in metrics["unsupported_regions_proposed"]
    assert metrics["unsupported_regions"] == ["gripper_pose/far", "saturation/first"]
    rates = [metrics["regions"][n]["outside_rate"] for n in metrics["worst_regions"]]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.5


def test_where_the_data_never_was_is_a_gap_by_name(parts, module):
    """The saturated opposite: one gap, first of the exposures, with an example; a clone of the data has none."""
    found = judged(Opposed(), parts, module)
    assert found.metrics["gaps"] == ["saturation/first"]
    first = found.exposures[0]
    assert (first.name, first.status, first.data_steps, first.greedy.share) == ("saturation/first", "gap", 0, 1.0)
    assert first.examples[0]["action"]["joint_0"] in (-1.0, 1.0)
    assert judged(Cloned(), parts, module).metrics["gaps"] == []


def test_a_sensor_that_died_after_the_data_is_a_gap_and_so_is_one_that_was_never_logged(make_log, module):
    """Dead where the policy is used, or dead in the data: the sensor is named, and stands first."""
    alive, dead = make_log(0, 80), make_log(1, 80)
    for one in dead:
        one.observations[:, 3] = 0.0
    for logged, used, name in ((alive, dead, "missing_sensor/sensor_3"), (dead, alive, "sensor/sensor_3")):
        estimator = SupportEstimator.fit(logged[:40], SupportConfig())
        parts = estimator, calibrate(estimator, logged[40:70], logged[:40], 0.05), used[70:]
        found = judged(Cloned(), parts, module)
        assert found.exposures[0].name == found.metrics["gaps"][0] == name
        assert found.actions["region"].str.contains("missing_sensor").all() == (used is dead)
        assert not found.actions["region"].str.contains(";sensor/").any()


def test_critics_that_disagree_are_heard(parts, module):
    """A column of their spread, its summary by mode, and its mean by region; without critics there is none."""
    estimator, calibration, held = parts

    def spread(observations, actions):
        return np.abs(actions).sum(axis=1)

    found = audit(
        Opposed(), estimator, calibration, held, module, np.random.default_rng(0), name="bc", disagreement=spread
    )
    greedy = found.actions[found.actions["mode"] == "greedy"]
    assert (greedy["disagreement"] == 2.0).all()
    assert found.metrics["greedy"]["disagreement"] == {"median": 2.0, "p95": 2.0}
    assert found.exposures[0].greedy.disagreement == 2.0
    without = judged(Opposed(), parts, module)
    assert "disagreement" not in without.actions
    assert "disagreement" not in without.metrics["greedy"]


def test_the_same_audit_has_the_same_bytes(parts, module, tmp_path):
    """Written twice with the same noise, all files are equal byte for byte, and are what was measured."""
    for name in ("a", "b"):
        judged(Cloned(), parts, module).save(tmp_path / name)
    for name in ("metrics.json", "exposures.json", "actions.parquet", "worst.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    found = judged(Cloned(), parts, module)
    assert json.loads((tmp_path / "a" / "metrics.json").read_text()) == found.metrics
    exposed = json.loads((tmp_path / "a" / "exposures.json").read_text())
    assert exposed["gaps"] == found.metrics["gaps"]
    assert exposed["exposures"] == [one.to_json() for one in found.exposures]
    assert set(pd.read_parquet(tmp_path / "a" / "worst.parquet")["mode"]) == {"greedy", "exploring"}
    read = pd.read_parquet(tmp_path / "a" / "actions.parquet")
    assert (read["distance"].to_numpy() == found.actions["distance"].to_numpy()).all()
    assert not (judged(Cloned(), parts, module, seed=1).actions["distance"] == found.actions["distance"]).all()


@pytest.mark.parametrize("policy", [Broken(), Narrow()])
def test_a_proposal_that_is_no_action_is_refused(policy, parts, module):
    """NaN or a wrong size ends the audit with the episode's number."""
    with pytest.raises(PolicyError, match="held-out episode 0"):
        judged(policy, parts, module)


def test_thresholds_of_another_estimator_are_refused(parts, module, make_log):
    """A stale calibration never judges."""
    _, calibration, held = parts
    other = SupportEstimator.fit(make_log(4, 10), SupportConfig())
    with pytest.raises(SupportError, match="thresholds of another estimator"):
        judged(Cloned(), (other, calibration, held), module)
    with pytest.raises(SupportError, match="no held-out episode"):
        judged(Cloned(), (parts[0], calibration, []), module)
