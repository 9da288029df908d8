"""The two thresholds and what is promised of them."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_to_online.errors import DataError, ParameterError, SupportError
from offline_to_online.support.calibration import (
    Calibration,
    calibrate,
    episode_threshold,
    episodes_needed,
    step_threshold,
)
from offline_to_online.support.estimator import SupportConfig, SupportEstimator

ALPHAS = st.floats(0.02, 0.9)


@st.composite
def distances_and_alpha(draw):
    """As many episodes as alpha needs, or more, of unequal lengths, with ties."""
    alpha = draw(ALPHAS)
    count = episodes_needed(alpha) + draw(st.integers(0, 12)) or 1
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    rows = [rng.gamma(2.0, size=rng.integers(1, 15)) * rng.gamma(2.0) for _ in range(count)]
    decimals = draw(st.sampled_from([1, 6]))
    return [r.round(decimals).astype(np.float32) for r in rows], alpha


def risk(rows, t):
    """The bound of conformal risk control at a threshold."""
    n = len(rows)
    return n / (n + 1) * np.mean([(r > t).mean() for r in rows]) + 1 / (n + 1)


@settings(max_examples=80, deadline=None)
@given(distances_and_alpha())
def test_the_step_threshold_is_the_smallest_that_holds(case):
    """The bound holds at the threshold, and at no smaller distance that was seen."""
    rows, alpha = case
    t = step_threshold(rows, alpha)
    assert risk(rows, t) <= alpha + 1e-8
    smaller = [v for v in np.unique(np.concatenate(rows)) if v < t]
    assert all(risk(rows, v) > alpha - 1e-8 for v in smaller)


@settings(max_examples=80, deadline=None)
@given(distances_and_alpha())
def test_the_episode_threshold_is_the_conformal_quantile(case):
    """At least ceil((n+1)(1-alpha)) episodes stay within it, and it is one of their largest distances."""
    rows, alpha = case
    t, largest = episode_threshold(rows, alpha), [float(r.max()) for r in rows]
    assert t in largest
    assert sum(x <= t for x in largest) >= math.ceil((len(rows) + 1) * (1 - alpha) - 1e-9)


@settings(max_examples=80, deadline=None)
@given(distances_and_alpha())
def test_thresholds_are_finite_and_the_stop_is_never_below_the_drift(case):
    """A guard stop is always outside the support as well."""
    rows, alpha = case
    step, stop = step_threshold(rows, alpha), episode_threshold(rows, alpha)
    assert math.isfinite(step)
    assert math.isfinite(stop)
    assert step <= stop


@settings(max_examples=80, deadline=None)
@given(distances_and_alpha(), ALPHAS)
def test_thresholds_fall_as_alpha_rises(case, other):
    """Allowing more errors never widens what counts as supported."""
    rows, alpha = case
    low, high = sorted([max(alpha, 1 / (len(rows) + 1)), max(other, 1 / (len(rows) + 1))])
    assert step_threshold(rows, low) >= step_threshold(rows, high)
    assert episode_threshold(rows, low) >= episode_threshold(rows, high)


@pytest.mark.parametrize(("alpha", "count"), [(0.05, 19), (0.1, 9), (0.2, 4), (0.01, 99), (0.3, 3), (0.5, 1)])
def test_exactly_as_many_episodes_as_are_needed(alpha, count):
    """ceil(1/alpha) - 1 episodes give a threshold, one fewer an error that says how many."""
    rows = [np.array([float(i)]) for i in range(count)]
    assert episodes_needed(alpha) == count
    assert math.isfinite(episode_threshold(rows, alpha))
    assert math.isfinite(step_threshold(rows, alpha))
    for threshold in (step_threshold, episode_threshold):
        with pytest.raises(SupportError, match=f"{count} needed for alpha {alpha:g}"):
            threshold(rows[:-1], alpha)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 2.0, math.nan])
def test_alpha_is_a_share(alpha):
    """Anything but a number between 0 and 1 is refused by the parameter's name."""
    with pytest.raises(ParameterError, match=r"alpha"):
        episodes_needed(alpha)


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_guarantee_holds_on_exchangeable_episodes(alpha):
    """Over many draws, fresh episodes spend at most alpha of their steps outside, and at most alpha cross the stop.

    Episodes are heavy-tailed and of unequal lengths; the tolerance is four standard errors.
    """
    rng = np.random.default_rng(0)

    def draw(count):
        return [rng.gamma(1.0) * rng.pareto(3.0, size=rng.integers(5, 30)) for _ in range(count)]

    drift, crossed = [], []
    for _ in range(600):
        rows, fresh = draw(24), draw(8)
        step, stop = step_threshold(rows, alpha), episode_threshold(rows, alpha)
        drift.append(np.mean([(r > step).mean() for r in fresh]))
        crossed.append(np.mean([r.max() > stop for r in fresh]))
    for found in (np.array(drift), np.array(crossed)):
        assert found.mean() <= alpha + 4 * found.std() / math.sqrt(len(found))
        assert found.mean() > alpha / 10


def fitted(make_log, train=30, held=0, seed=0):
    rows = make_log(seed, train + held)
    return SupportEstimator.fit(rows[:train], SupportConfig(k=2)), rows[:train], rows[train:]


def test_enough_held_out_episodes_are_used(make_log):
    """With 19 held-out episodes at alpha 0.05 the method is the split one, on those and no others."""
    estimator, train, held = fitted(make_log, held=19)
    found = calibrate(estimator, held, train, 0.05)
    rows = [estimator.distance(e.observations[:-1], e.actions) for e in held]
    assert (found.method, found.episodes) == ("split", 19)
    assert found.step_threshold == step_threshold(rows, 0.05)
    assert found.episode_threshold == episode_threshold(rows, 0.05)
    assert found.estimator_sha256 == estimator.sha256
    assert "at most 0.05" in found.guarantee["step"]


def test_too_few_held_out_episodes_are_replaced_by_leaving_one_out(make_log):
    """One fewer, and the train split calibrates itself; the weaker guarantee is said."""
    estimator, train, held = fitted(make_log, held=18)
    found = calibrate(estimator, held, train, 0.05)
    rows = [
        SupportEstimator.fit(train[:i] + train[i + 1 :], estimator.config).distance(e.observations[:-1], e.actions)
        for i, e in enumerate(train)
    ]
    assert (found.method, found.episodes) == ("cross-conformal", 30)
    assert found.step_threshold == step_threshold(rows, 0.05)
    assert found.episode_threshold == episode_threshold(rows, 0.05)
    assert "0.1, that of jackknife+" in found.guarantee["episode"]
    assert "no finite-sample bound" in found.guarantee["step"]


def test_leaving_one_out_keeps_its_promise_on_fresh_episodes(make_log):
    """Cross-conformal thresholds on 25 episodes flag about alpha of fresh ones, and no more than twice alpha."""
    drift, crossed = [], []
    for seed in range(12):
        estimator, train, fresh = fitted(make_log, train=25, held=25, seed=seed)
        found = calibrate(estimator, [], train, 0.2)
        rows = [estimator.distance(e.observations[:-1], e.actions) for e in fresh]
        drift.append(np.mean([(r > found.step_threshold).mean() for r in rows]))
        crossed.append(np.mean([r.max() > found.episode_threshold for r in rows]))
    assert 0.02 < np.mean(drift) < 0.3
    assert 0.02 < np.mean(crossed) < 0.4


def test_still_too_few_says_how_many_are_needed(make_log):
    """18 of either are too few at alpha 0.05: how many there are, and how many are needed."""
    estimator, train, held = fitted(make_log, train=18, held=3)
    with pytest.raises(SupportError, match=r"3 held out, 18 for training.*19 of either for alpha 0.05"):
        calibrate(estimator, held, train, 0.05)


def test_an_estimator_of_other_episodes_is_refused(make_log):
    """Neither episodes it has seen, as held out, nor others than its own, left out one by one, calibrate it."""
    estimator, train, _ = fitted(make_log, train=20)
    with pytest.raises(SupportError, match="also fitted on"):
        calibrate(estimator, train, train, 0.05)
    with pytest.raises(SupportError, match="fitted on other episodes"):
        calibrate(estimator, [], make_log(8, 20), 0.05)


def test_saving_and_loading_changes_nothing(make_log, tmp_path):
    """The same thresholds, the same hash, the same bytes."""
    estimator, train, _ = fitted(make_log, train=20)
    found = calibrate(estimator, [], train, 0.1)
    found.save(tmp_path / "a.json")
    loaded = Calibration.load(tmp_path / "a.json")
    loaded.save(tmp_path / "b.json")
    assert loaded == found
    assert loaded.sha256 == found.sha256
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert dataclasses.replace(found, alpha=0.2).sha256 != found.sha256


def test_a_broken_calibration_is_refused(make_log, tmp_path):
    """A missing field, an unknown one, a threshold that is no number or infinite, and a missing file."""
    estimator, train, _ = fitted(make_log, train=20)
    row = calibrate(estimator, [], train, 0.1).to_json()
    spoilt = [
        {k: v for k, v in row.items() if k != "alpha"},
        row | {"extra": 1},
        row | {"step_threshold": "wide"},
        row | {"episode_threshold": math.inf},
        [1],
    ]
    for value in spoilt:
        (tmp_path / "c.json").write_text(json.dumps(value))
        with pytest.raises(SupportError, match="run the stage support again"):
            Calibration.load(tmp_path / "c.json")
    with pytest.raises(DataError, match="no such file"):
        Calibration.load(tmp_path / "none.json")
