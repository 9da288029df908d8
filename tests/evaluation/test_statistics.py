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
    bound_in_words,
    fallback_share,
    least_certain,
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


ROUNDS = 20


@given(st.lists(st.booleans(), min_size=1, max_size=ROUNDS))
def test_no_share_of_alpha_is_spent_twice(spends):
    """Whichever rounds spend what they hold, together they spend at most the whole, and nobody holds nothing."""
    since, total = 1, 0.0
    for spent in spends:
        share = fallback_share(since, ROUNDS)
        assert share >= 1 / ROUNDS
        total += share if spent else 0.0
        since = 1 if spent else since + 1
    assert total <= 1 + 1e-12


@pytest.mark.parametrize(("since", "rounds"), [(0, 5), (6, 5), (1, 0)])
def test_a_share_that_no_round_has_is_refused(since, rounds):
    """A round holds its own share at least, and never more than the run has."""
    with pytest.raises(ParameterError, match="rounds"):
        fallback_share(since, rounds)


def paired_outcomes(mean: float, runs: int, pairs: int = 400, discordance: float = 0.2) -> np.ndarray:
    """Differences in {-1, 0, 1} of that mean: shape (runs, pairs)."""
    win, loss = (discordance + mean) / 2, (discordance - mean) / 2
    rng = np.random.default_rng(5)
    return rng.choice([1.0, -1.0, 0.0], p=[win, loss, 1 - discordance], size=(runs, pairs))


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_false_acceptance_at_the_margin_is_at_most_alpha(alpha):
    """A candidate worse by exactly the margin, looked at after every pair, is accepted at most as often as allowed."""
    accepted = PairedEvidence(margin=0.05, alpha=alpha).accepts(paired_outcomes(-0.05, 2000)).mean()
    assert accepted <= alpha + 2 * math.sqrt(alpha / 2000)


@pytest.mark.parametrize("good", [False, True])
def test_family_wise_error_over_five_candidates(good):
    """In at most alpha of the runs any bad one is accepted, whether good ones handed it their shares or not."""
    draws = paired_outcomes(-0.05, 2000 * 5).reshape(5, 2000, 400)
    if good:
        draws[[0, 2]] = 1.0
    since, wrong = np.ones(2000, dtype=int), np.zeros(2000, dtype=bool)
    for k, differences in enumerate(draws):
        accepted = np.zeros(2000, dtype=bool)
        for held in np.unique(since):
            runs = since == held
            accepted[runs] = PairedEvidence(margin=0.05, alpha=0.05 * held / 5).accepts(differences[runs])
        since = np.where(accepted, since + 1, 1)
        wrong |= accepted & (not good or k not in (0, 2))
    assert wrong.mean() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 2000)


def test_power_at_a_gain_of_ten_points_for_one_of_twenty_candidates():
    """With a twentieth of alpha, looks and giving up every 25 pairs, a gain of ten points is nearly always accepted."""
    test, open_runs = PairedEvidence(margin=0.05, alpha=0.05 / 20), paired_outcomes(0.10, 600)
    accepted = 0
    for pairs in range(25, 401, 25):
        shown = test.accepts(open_runs[:, :pairs])
        accepted += int(shown.sum())
        open_runs = open_runs[~(shown | test.is_futile(open_runs[:, :pairs], 400 - pairs))]
    assert accepted / 600 >= 0.95
    assert not len(open_runs)


def test_giving_up_saves_pairs_on_a_hopeless_candidate():
    """A candidate that loses ten points is given up within 200 pairs in most runs."""
    test = PairedEvidence(margin=0.05, alpha=0.03)
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
    margin=st.floats(-0.9, 0.9),
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
    assert test.accepts(draws).shape == test.is_futile(draws, 10).shape == (2, 3)
    assert test.is_futile(draws, 10)[1, 2] == test.is_futile(draws[1, 2], 10)


def test_differences_outside_their_range_are_refused():
    """Returns are no outcomes in [0, 1], and neither is NaN."""
    for bad in (1.5, math.nan):
        with pytest.raises(ParameterError):
            PairedEvidence(margin=0.05, alpha=0.05).wealth(np.array([0.0, bad]))


@pytest.mark.parametrize(("margin", "alpha"), [(-1.0, 0.05), (1.0, 0.05), (0.05, 0.0)])
def test_evidence_refuses_a_margin_or_alpha_that_is_none(margin, alpha):
    """The margin lies in (-1, 1), alpha in (0, 1)."""
    with pytest.raises(ParameterError):
        PairedEvidence(margin=margin, alpha=alpha)


def test_wealth_beyond_all_floats_is_still_accepted():
    """A thousand pairs won at a wide margin overflow to infinite wealth, without a warning and without losing it."""
    test = PairedEvidence(margin=0.9, alpha=0.05)
    assert test.wealth(np.ones(1000))[-1] == np.inf
    assert test.accepts(np.concatenate([np.ones(1000), -np.ones(1000)]))


@settings(max_examples=50)
@given(differences=st.lists(st.floats(-1, 1), max_size=60), low=st.integers(-999, 999), high=st.integers(-999, 999))
def test_a_wider_margin_never_earns_less(differences, low, high):
    """Pair by pair, wealth grows with the margin: what one margin refutes, every wider one does, and a grid will do."""
    low, high = min(low, high), max(low, high)
    narrow, wide = (PairedEvidence(margin=m / 1000, alpha=0.05).wealth(np.array(differences)) for m in (low, high))
    assert (wide >= narrow * (1 - 1e-9)).all()


@settings(max_examples=50)
@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0, 0.3]), max_size=80), st.integers(-200, 500))
def test_what_is_certain_and_what_is_accepted_are_the_same(differences, thousandths):
    """A candidate is accepted for a margin exactly if the lower end of the confidence sequence lies above minus it."""
    margin, values = thousandths / 1000, np.array(differences)
    accepted = bool(PairedEvidence(margin=margin, alpha=0.05).accepts(values))
    assert accepted == (least_certain(values, 0.05) >= -margin)


@pytest.mark.parametrize("mean", [-0.05, 0.1])
def test_what_is_certain_is_true_whenever_one_stops(mean):
    """The lower end after all pairs, which is the best of all looks, lies above the truth in at most alpha of 300."""
    over = [least_certain(d, 0.1) > mean for d in paired_outcomes(mean, 300, pairs=200)]
    assert np.mean(over) <= 0.1 + 2 * math.sqrt(0.1 * 0.9 / 300)


def test_nothing_is_certain_before_the_first_pair():
    """Without a pair, all of it may be lost."""
    assert least_certain(np.zeros(0), 0.05) == -1.0


def test_a_bound_is_said_in_points():
    """A loss that is bounded, and a gain that is certain, with the pairs and the confidence they were bought with."""
    said = bound_in_words(40, 0.05, -0.123, who="champion", side="baseline")
    assert said == "with 40 pairs, at 95 %, the champion loses at most 12.3 points to the baseline"
    gained = bound_in_words(400, 0.0025, 0.021, who="candidate", side="champion")
    assert gained == "with 400 pairs, at 99.75 %, the candidate gains at least 2.1 points on the champion"
