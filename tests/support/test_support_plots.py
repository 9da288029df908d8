"""Numbers and pictures of scores, distances and log-probabilities, policy against data."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from offline_to_online.support.calibration import Calibration
from offline_to_online.support.plots import by_mode, histogram, logged_frame, write_plots

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
    modes = np.repeat(["greedy", "data", "exploring"], 200)
    numbers = {
        "score": rng.gamma(2.0, size=600),
        "distance": rng.gamma(2.0, size=600),
        "log_prob": rng.normal(size=600),
    }
    return pd.DataFrame({"mode": modes, **numbers})


def test_shares_of_each_mode_sum_to_one(frame):
    """Every action is in some bin, the tails in the outer ones, and bins are common to all modes."""
    found = histogram(frame, "distance")
    assert found.groupby("mode")["share"].sum().to_numpy() == pytest.approx([1.0, 1.0, 1.0])
    assert found.groupby("mode")["distance"].agg(tuple).nunique() == 1


def test_the_data_come_first(frame):
    """So that the policy is drawn over them; a mode that is not there is left out."""
    assert list(by_mode(frame, "score")) == ["data", "greedy", "exploring"]
    assert list(by_mode(frame[frame["mode"] == "greedy"], "score")) == ["greedy"]


def test_equal_values_still_make_a_histogram():
    """A log in which nothing differs has a picture too."""
    logged = logged_frame({"score": np.ones(5), "distance": np.ones(5), "log_prob": np.zeros(5), "more": np.ones(5)})
    assert histogram(logged, "distance")["share"].max() == 1.0


def test_the_same_numbers_give_the_same_bytes(frame, tmp_path):
    """CSV and SVG do not depend on the folder or on the hour."""
    for name in ("a", "b"):
        write_plots(frame, CALIBRATION, tmp_path / name, title="bc")
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == ["distances.csv", "log_probs.csv", "scores.csv", "support.svg"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert list(pd.read_csv(tmp_path / "a" / "scores.csv")) == ["score", "mode", "share"]


def test_the_thresholds_are_where_the_score_is(frame, tmp_path):
    """Three panels; each threshold once, and every mode in the legend."""
    write_plots(frame, CALIBRATION, tmp_path, title="bc")
    picture = (tmp_path / "support.svg").read_text()
    for said in ("step threshold", "episode threshold", "greedy", "exploring", "bc (the outer bins hold the tails)"):
        assert picture.count(f">{said}<") == 1
    write_plots(frame, dataclasses.replace(CALIBRATION, episode_threshold=50.0), tmp_path, title="bc")
    assert pd.read_csv(tmp_path / "scores.csv")["score"].max() > 49
    assert pd.read_csv(tmp_path / "distances.csv")["distance"].max() < 49
    for axis in ("support score", "distance to the data", "behaviour log-probability"):
        assert axis in picture
