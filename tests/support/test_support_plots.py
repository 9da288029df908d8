"""Numbers and pictures of distances, policy against data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from offline_to_online.support.calibration import Calibration
from offline_to_online.support.plots import histogram, logged_frame, write_plots

CALIBRATION = Calibration(
    alpha=0.05,
    step_threshold=1.0,
    episode_threshold=2.0,
    method="split",
    episodes=19,
    guarantee={"step": "", "episode": ""},
    data_sha256="",
    estimator_sha256="",
)


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    modes = np.repeat(["data", "greedy", "exploring"], 200)
    return pd.DataFrame({"mode": modes, "distance": rng.gamma(2.0, size=600), "log_prob": rng.normal(size=600)})


def test_shares_of_each_mode_sum_to_one(frame):
    """Every action is in some bin, the tails in the outer ones, and bins are common to all modes."""
    found = histogram(frame, "distance")
    assert found.groupby("mode")["share"].sum().to_numpy() == pytest.approx([1.0, 1.0, 1.0])
    assert found.groupby("mode")["distance"].agg(tuple).nunique() == 1


def test_equal_values_still_make_a_histogram():
    """A log in which nothing differs has a picture too."""
    found = histogram(logged_frame(np.ones(5), np.zeros(5)), "distance")
    assert found["share"].max() == 1.0


def test_the_same_numbers_give_the_same_bytes(frame, tmp_path):
    """CSV and SVG do not depend on the folder or on the hour."""
    for name in ("a", "b"):
        write_plots(frame, CALIBRATION, tmp_path / name, title="bc")
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == ["distances.csv", "log_probs.csv", "support.svg"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    picture = (tmp_path / "a" / "support.svg").read_text()
    assert "step threshold" in picture
    assert "greedy" in picture
    assert list(pd.read_csv(tmp_path / "a" / "distances.csv")) == ["distance", "mode", "share"]
