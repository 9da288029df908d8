"""Intervals, exact tests, and the test by betting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from offline_to_online.errors import ParameterError
from offline_to_online.evaluation.statistics import (
    PairedEvidence,
    alpha_spent,
    mean_interval,
    paired_difference_interval,
    paired_mcnemar_p,
    wilson_interval,
)


def test_wilson_interval_agrees_with_scipy():
    """The interval of a rate is Wilson's, as scipy computes it."""
    for successes, trials in [(0, 10), (3, 10), (50, 100), (100, 100)]:
        theirs = stats.binomtest(successes, trials).proportion_ci(method="wilson")
        assert wilson_interval(successes, trials) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_interval_without_a_trial_says_nothing():
    """No trial leaves every rate possible."""
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(trials=st.integers(1, 400), share=st.floats(0, 1))
def test_wilson_interval_holds_the_rate(trials, share):
    """The measured rate lies inside its own interval, and the interval inside [0, 1]."""
    successes = round(share * trials)
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1


def test_mean_interval_covers_the_true_mean():
    """About 95 of 100 bootstrap intervals of skewed scores hold the true mean."""
    rng = np.random.default_rng(1)
    scores = rng.beta(0.6, 1.4, size=(300, 100))
    covered = [low <= 0.3 <= high for low, high in (mean_interval(s, resamples=400) for s in scores)]
    assert 0.90 <= np.mean(covered) <= 0.99


def test_mean_interval_is_the_same_for_the_same_values():
    """The bootstrap has its own seed, and the order of the values does not matter."""
    values = np.random.default_rng(2).random(50)
    assert mean_interval(values) == mean_interval(values[::-1])


@pytest.mark.parametrize("values", [[], [0.1, math.nan]])
def test_mean_interval_refuses_what_has_no_mean(values):
    """No values, or one that is not finite, is an error rather than NaN."""
    with pytest.raises(ParameterError):
        mean_interval(np.array(values))


def test_mcnemar_is_the_binomial_tail_of_the_discordant_pairs():
    """8 pairs won and 2 lost, whatever else agreed: P(X >= 8 | 10, 1/2)."""
    candidate = np.array([True] * 8 + [False] * 2 + [True] * 40)
    baseline = np.array([False] * 8 + [True] * 2 + [True] * 40)
    assert paired_mcnemar_p(candidate, baseline) == pytest.approx((45 + 10 + 1) / 1024)
    assert paired_mcnemar_p(baseline, candidate) > 0.98


def test_mcnemar_of_equal_sides_proves_nothing():
    """Without a discordant pair the p-value is 1."""
    same = np.array([True, False, True])
    assert paired_mcnemar_p(same, same) == 1.0


def test_mcnemar_refuses_sides_that_do_not_pair_up():
    """Different numbers of outcomes are no pairs."""
    with pytest.raises(ParameterError, match="3 outcomes against 2"):
        paired_mcnemar_p(np.ones(3, bool), np.ones(2, bool))


@pytest.mark.parametrize(("win", "loss"), [(0.15, 0.05), (0.02, 0.02), (0.5, 0.2)])
def test_difference_interval_covers_the_true_difference(win, loss):
    """About 95 of 100 intervals of paired successes hold the true difference, rare discordance included."""
    rng = np.random.default_rng(3)
    draws = rng.choice([1.0, -1.0, 0.0], p=[win, loss, 1 - win - loss], size=(1000, 100))
    intervals = [paired_difference_interval(d) for d in draws]
    assert 0.92 <= np.mean([low <= win - loss <= high for low, high in intervals]) <= 1.0


def test_difference_interval_of_equal_sides_is_no_point():
    """100 pairs without a difference do not prove that there is none."""
    low, high = paired_difference_interval(np.zeros(100))
    assert -0.06 < low < 0 < high < 0.06


def test_difference_interval_of_scores_is_the_bootstrap():
    """Differences other than -1, 0 and 1 get the bootstrap of their mean."""
    differences = np.random.default_rng(4).normal(0.1, 0.2, 60)
    assert paired_difference_interval(differences) == mean_interval(differences)


def test_alpha_is_spent_once_over_all_candidates():
    """The levels fall with the candidate's number and never sum to more than alpha."""
    spent = [alpha_spent(k, 0.05) for k in range(1, 2000)]
    assert spent == sorted(spent, reverse=True)
    assert 0.0499 < sum(spent) <= 0.05


@pytest.mark.parametrize(("number", "alpha"), [(0, 0.05), (1, 0.0), (1, 1.0)])
def test_alpha_spent_refuses_nonsense(number, alpha):
    """Candidates count from 1, and alpha is a probability."""
    with pytest.raises(ParameterError):
        alpha_spent(number, alpha)


def paired_outcomes(mean: float, runs: int, pairs: int = 400, discordance: float = 0.2) -> np.ndarray:
    """Differences in {-1, 0, 1} of that mean: shape (runs, pairs)."""
    win, loss = (discordance + mean) / 2, (discordance - mean) / 2
    rng = np.random.default_rng(5)
    return rng.choice([1.0, -1.0, 0.0], p=[win, loss, 1 - discordance], size=(runs, pairs))


@pytest.mark.parametrize("number", [1, 3])
def test_false_acceptance_at_the_margin_is_at_most_alpha(number):
    """A candidate worse by exactly the margin, looked at after every pair, is accepted at most as often as allowed."""
    alpha = alpha_spent(number, 0.05)
    accepted = PairedEvidence(margin=0.05, alpha=alpha).accepts(paired_outcomes(-0.05, 2000)).mean()
    assert accepted <= alpha + 2 * math.sqrt(alpha / 2000)


def test_family_wise_error_over_five_candidates():
    """Of five candidates that are all worse by the margin, any is accepted in at most alpha of the runs."""
    draws = paired_outcomes(-0.05, 2000 * 5).reshape(5, 2000, 400)
    any_accepted = np.zeros(2000, dtype=bool)
    for k, differences in enumerate(draws, start=1):
        any_accepted |= PairedEvidence(margin=0.05, alpha=alpha_spent(k, 0.05)).accepts(differences)
    assert any_accepted.mean() <= 0.05


def test_power_at_a_gain_of_ten_points():
    """A first candidate that is better by ten points is accepted within 400 pairs nine times in ten."""
    test = PairedEvidence(margin=0.05, alpha=alpha_spent(1, 0.05))
    assert test.accepts(paired_outcomes(0.10, 1000)).mean() >= 0.9


def test_giving_up_costs_next_to_no_power():
    """With a look and the futility rule every 50 pairs, a gain of ten points is still nearly always accepted."""
    test = PairedEvidence(margin=0.05, alpha=alpha_spent(1, 0.05))
    looks = range(50, 400, 50)
    gave_up = [any(test.is_futile(d[:n], 400 - n) for n in looks) for d in paired_outcomes(0.10, 200)]
    assert np.mean(gave_up) <= 0.05


def test_giving_up_saves_pairs_on_a_hopeless_candidate():
    """A candidate that loses ten points is given up within 200 pairs in most runs."""
    test = PairedEvidence(margin=0.05, alpha=alpha_spent(1, 0.05))
    gave_up = [any(test.is_futile(d[:n], 400 - n) for n in (50, 100, 150, 200)) for d in paired_outcomes(-0.10, 200)]
    assert np.mean(gave_up) >= 0.7


def test_nothing_left_to_play_is_futile():
    """Without remaining pairs an undecided candidate cannot be accepted any more."""
    test = PairedEvidence(margin=0.05, alpha=0.03)
    assert test.is_futile(np.zeros(10), 0)
    assert not test.is_futile(np.ones(10), 0)


@settings(max_examples=50)
@given(
    differences=st.lists(st.floats(-1, 1), max_size=40),
    margin=st.floats(0, 0.9),
    extra=st.lists(st.floats(-1, 1), max_size=10),
)
def test_wealth_stays_positive_and_does_not_look_ahead(differences, margin, extra):
    """No stake can lose everything, and pairs to come do not change the wealth so far."""
    test = PairedEvidence(margin=margin, alpha=0.05)
    wealth = test.wealth(np.array(differences))
    assert (wealth > 0).all()
    assert np.array_equal(test.wealth(np.array(differences + extra))[: len(wealth)], wealth)


def test_many_sequences_at_once_give_what_each_gives_alone():
    """The wealth is vectorised over leading dimensions."""
    test, draws = PairedEvidence(margin=0.05, alpha=0.05), paired_outcomes(0.0, 6, 30).reshape(2, 3, 30)
    assert np.array_equal(test.wealth(draws)[1, 2], test.wealth(draws[1, 2]))
    assert test.accepts(draws).shape == (2, 3)


def test_differences_outside_their_range_are_refused():
    """Returns are no outcomes in [0, 1], and neither is NaN."""
    for bad in (1.5, math.nan):
        with pytest.raises(ParameterError):
            PairedEvidence(margin=0.05, alpha=0.05).wealth(np.array([0.0, bad]))


@pytest.mark.parametrize(("margin", "alpha"), [(-0.1, 0.05), (1.0, 0.05), (0.05, 0.0)])
def test_evidence_refuses_a_margin_or_alpha_that_is_none(margin, alpha):
    """The margin lies in [0, 1), alpha in (0, 1)."""
    with pytest.raises(ParameterError):
        PairedEvidence(margin=margin, alpha=alpha)
