"""The two thresholds and what is promised of them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_to_online.errors import DataError, ParameterError, SupportError
from offline_to_online.support.calibration import (
    Calibration,
    calibrate,
    conformal_rank,
    data_sha256,
    episode_threshold,
    episodes_needed,
    step_threshold,
)
from offline_to_online.support.estimator import SupportConfig, SupportEstimator

ALPHAS = st.floats(0.02, 0.9)


@st.composite
def scores_and_alpha(draw):
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
@given(scores_and_alpha())
def test_the_step_threshold_is_the_smallest_that_holds(case):
    """The bound holds at the threshold, and at no smaller score that was seen."""
    rows, alpha = case
    t = step_threshold(rows, alpha)
    assert risk(rows, t) <= alpha + 1e-8
    smaller = [v for v in np.unique(np.concatenate(rows)) if v < t]
    assert all(risk(rows, v) > alpha - 1e-8 for v in smaller)


@settings(max_examples=80, deadline=None)
@given(scores_and_alpha())
def test_the_episode_threshold_is_the_conformal_quantile(case):
    """At least ceil((n+1)(1-alpha)) episodes stay within it, and it is one of their largest scores."""
    rows, alpha = case
    t, largest = episode_threshold(rows, alpha), [float(r.max()) for r in rows]
    assert t in largest
    assert sum(x <= t for x in largest) >= math.ceil((len(rows) + 1) * (1 - alpha) - 1e-9)


@settings(max_examples=80, deadline=None)
@given(scores_and_alpha())
def test_thresholds_are_finite_and_the_stop_is_never_below_the_drift(case):
    """A guard stop is always outside the support as well."""
    rows, alpha = case
    step, stop = step_threshold(rows, alpha), episode_threshold(rows, alpha)
    assert math.isfinite(step)
    assert math.isfinite(stop)
    assert step <= stop


@settings(max_examples=80, deadline=None)
@given(scores_and_alpha(), ALPHAS)
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


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.2, 0.3, 0.5]), st.sampled_from([0, 1, 6]))
def test_over_every_split_of_a_pool_the_promises_are_exact(seed, alpha, decimals):
    """Of 8 episodes 5 calibrate and 3 test, in all 56 ways: no sampling error is left, so no tolerance is needed.

    Without ties the flagged share is 1 - rank/(n+1) exactly, hence between alpha - 1/(n+1) and alpha.
    """
    rng = np.random.default_rng(seed)
    pool = [(rng.gamma(1.0) * rng.gamma(2.0, size=rng.integers(1, 9))).round(decimals) for _ in range(8)]
    drift, crossed = [], []
    for chosen in itertools.combinations(range(8), 5):
        rows, fresh = [pool[i] for i in chosen], [pool[i] for i in range(8) if i not in chosen]
        step, stop = step_threshold(rows, alpha), episode_threshold(rows, alpha)
        drift.append(np.mean([(r > step).mean() for r in fresh]))
        crossed.append(np.mean([r.max() > stop for r in fresh]))
    assert np.mean(drift) <= alpha + 1e-9
    assert np.mean(crossed) <= alpha + 1e-9
    if len({r.max() for r in pool}) == 8:
        assert np.mean(crossed) == pytest.approx(1 - conformal_rank(5, alpha) / 6)
        assert np.mean(crossed) >= alpha - 1 / 6 - 1e-9


def test_a_long_episode_counts_as_much_as_a_short_one():
    """Recording every step of some episodes seven times over moves no threshold."""
    rng = np.random.default_rng(3)
    rows = [rng.gamma(2.0, size=rng.integers(1, 15)) for _ in range(24)]
    longer = [np.repeat(row, 1 + 6 * (i % 2)) for i, row in enumerate(rows)]
    assert step_threshold(longer, 0.1) == step_threshold(rows, 0.1)
    assert episode_threshold(longer, 0.1) == episode_threshold(rows, 0.1)


@pytest.mark.parametrize("endless", [math.inf, math.nan])
def test_an_infinite_score_lies_beyond_every_threshold(endless):
    """One clean episode of 24 with such a step costs what any outlier would; what is no number counts the same."""
    rng = np.random.default_rng(4)
    rows = [rng.gamma(2.0, size=10).astype(np.float32) for _ in range(24)]
    spoilt, far = [[row.copy() for row in rows] for _ in range(2)]
    spoilt[7][3], far[7][3] = endless, 1e9
    for threshold in (step_threshold, episode_threshold):
        assert threshold(spoilt, 0.1) == threshold(far, 0.1)


@pytest.mark.parametrize("endless", [math.inf, math.nan])
def test_a_threshold_that_nothing_could_cross_is_refused(endless):
    """At alpha 0.05 one infinite step among 19 episodes leaves no finite threshold: the error names the step."""
    rows = [np.arange(4, dtype=np.float32) for _ in range(19)]
    rows[5][2] = endless
    for threshold in (step_threshold, episode_threshold):
        with pytest.raises(SupportError, match=r"1 of 19 .*infinite score \(calibration episode 5, step 2\)"):
            threshold(rows, 0.05)


def test_an_episode_without_a_step_is_refused():
    """It has no share of steps."""
    rows = [np.ones(3), np.zeros(0), np.ones(2)]
    for threshold in (step_threshold, episode_threshold):
        with pytest.raises(SupportError, match=r"without a step \(calibration episode 1\)"):
            threshold(rows, 0.5)


def fitted(make_log, train=30, held=0, seed=0):
    rows = make_log(seed, train + held)
    return SupportEstimator.fit(rows[:train], SupportConfig(k=2)), rows[:train], rows[train:]


def test_enough_held_out_episodes_are_used(make_log):
    """With 19 held-out episodes at alpha 0.05 the method is the split one, on those and no others."""
    estimator, train, held = fitted(make_log, held=19)
    found = calibrate(estimator, held, train, 0.05)
    rows = [estimator.score(e.observations[:-1], e.actions) for e in held]
    assert (found.method, found.episodes) == ("split", 19)
    assert found.step_threshold == step_threshold(rows, 0.05)
    assert found.episode_threshold == episode_threshold(rows, 0.05)
    assert found.estimator_sha256 == estimator.sha256


def test_too_few_held_out_episodes_are_replaced_by_leaving_one_out(make_log):
    """One fewer, and the train split calibrates itself."""
    estimator, train, held = fitted(make_log, held=18)
    found = calibrate(estimator, held, train, 0.05)
    rows = [
        SupportEstimator.fit(train[:i] + train[i + 1 :], estimator.config).score(e.observations[:-1], e.actions)
        for i, e in enumerate(train)
    ]
    assert (found.method, found.episodes) == ("cross-conformal", 30)
    assert found.step_threshold == step_threshold(rows, 0.05)
    assert found.episode_threshold == episode_threshold(rows, 0.05)


def test_each_guarantee_says_what_holds_and_no_more(make_log):
    """The split one bounds means over draws, and how far a draw may lie off; leaving one out bounds nothing."""
    estimator, train, held = fitted(make_log, held=19)
    split, crossed = (calibrate(estimator, rows, train, 0.05).guarantee for rows in (held, []))
    for text in split.values():
        assert "at most 0.05" in text
        assert "on average over draws of the 19 calibration episodes" in text
    for text in crossed.values():
        assert "about 0.05" in text
        assert "without a finite-sample bound" in text
        assert "at most" not in text


def test_the_spread_in_the_guarantee_is_that_of_the_draws(make_log):
    """Scores uniform in [0, 1]: a threshold t flags 1 - t of all episodes; over draws of 4 that has this deviation."""
    estimator, train, held = fitted(make_log, held=4)
    text = calibrate(estimator, held, train, 0.2).guarantee["episode"]
    said = float(re.search(r"standard deviation of ([0-9.]+)", text).group(1))
    rng = np.random.default_rng(5)
    flagged = [1 - episode_threshold(list(rng.uniform(size=(4, 1))), 0.2) for _ in range(4000)]
    assert said == pytest.approx(np.std(flagged), rel=0.05)


def test_the_hash_is_of_what_the_episodes_hold(make_log):
    """Another order is the same data; one other number, or one episode fewer, is not."""
    rows = make_log(0, 5)
    spoilt = rows[2].actions.copy()
    spoilt[-1, 0] += 1e-6
    assert data_sha256(rows[::-1]) == data_sha256(rows)
    assert data_sha256(rows[1:]) != data_sha256(rows)
    assert data_sha256([*rows[:2], dataclasses.replace(rows[2], actions=spoilt), *rows[3:]]) != data_sha256(rows)


def test_leaving_one_out_flags_about_as_many_as_asked(make_log):
    """Cross-conformal thresholds on 25 episodes, on fresh ones of twelve logs: measured, since nothing is promised."""
    drift, crossed = [], []
    for seed in range(12):
        estimator, train, fresh = fitted(make_log, train=25, held=25, seed=seed)
        found = calibrate(estimator, [], train, 0.2)
        rows = [estimator.score(e.observations[:-1], e.actions) for e in fresh]
        drift.append(np.mean([(r > found.step_threshold).mean() for r in rows]))
        crossed.append(np.mean([r.max() > found.episode_threshold for r in rows]))
    assert 0.02 < np.mean(drift) < 0.3
    assert 0.02 < np.mean(crossed) < 0.4


def test_still_too_few_says_how_many_are_needed(make_log):
    """18 of either are too few at alpha 0.05: how many there are, and how many are needed."""
    estimator, train, held = fitted(make_log, train=18, held=3)
    with pytest.raises(SupportError, match=r"3 held out, 18 for training.*19 of either for alpha 0.05"):
        calibrate(estimator, held, train, 0.05)


def test_a_single_episode_cannot_be_left_out(make_log):
    """Where alpha would do with one, leaving it out would leave nothing to fit."""
    estimator, train, _ = fitted(make_log, train=1)
    with pytest.raises(SupportError, match=r"0 held out, 1 for training.*2 of either for alpha 0.5"):
        calibrate(estimator, [], train, 0.5)


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
    """A field missing or unknown, a threshold that is no number, infinite, or in the wrong order; a missing file."""
    estimator, train, _ = fitted(make_log, train=20)
    row = calibrate(estimator, [], train, 0.1).to_json()
    spoilt = [
        {k: v for k, v in row.items() if k != "alpha"},
        row | {"extra": 1},
        row | {"step_threshold": "wide"},
        row | {"episode_threshold": math.inf},
        row | {"step_threshold": row["episode_threshold"] + 1.0},
        [1],
    ]
    for value in spoilt:
        (tmp_path / "c.json").write_text(json.dumps(value))
        with pytest.raises(SupportError, match="run the stage support again"):
            Calibration.load(tmp_path / "c.json")
    with pytest.raises(DataError, match="no such file"):
        Calibration.load(tmp_path / "none.json")
