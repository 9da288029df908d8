"""A small real Fetch: a few recorded episodes, the support made of them, and an exported policy."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_policy import write_policy

from offline_to_online.robots import fetch_pick_and_place as fetch
from offline_to_online.robots._recording import record_log
from offline_to_online.support.calibration import calibrate
from offline_to_online.support.estimator import SupportConfig, SupportEstimator


@pytest.fixture(scope="session")
def fetch_support(tmp_path_factory) -> Path:
    """A support folder made of ten expert episodes, calibrated on six."""
    folder = tmp_path_factory.mktemp("support")
    episodes = record_log(fetch, {"expert": 16}, seed=3)
    estimator = SupportEstimator.fit(episodes[:10], SupportConfig())
    estimator.save(folder / "estimator")
    calibrate(estimator, episodes[10:], episodes[:10], 0.2).save(folder / "calibration.json")
    return folder


@pytest.fixture(scope="session")
def fetch_policy(tmp_path_factory) -> Path:
    """An exported policy with random weights: good for nothing, and deterministic."""
    return write_policy(tmp_path_factory.mktemp("policy") / "policy.safetensors", fetch.SPEC, last_weight=0.1)
