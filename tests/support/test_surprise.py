"""Terms of different kinds on one scale."""

from __future__ import annotations

import numpy as np
import pytest

from offline_to_online.support.surprise import Reference


@pytest.fixture
def reference():
    return Reference.from_terms({"x": np.random.default_rng(0).exponential(2.0, 40_000)})


def test_surprise_is_minus_the_log_of_the_share_at_least_as_large(reference):
    """Half the clean values lie above the median: log 2; one in twenty above the 95th percentile: log 20."""
    values = np.quantile(reference.values["x"], [0.5, 0.95])
    np.testing.assert_allclose(reference.surprise("x", values), np.log([2, 20]), rtol=0.05)


def test_clean_values_are_as_surprising_as_they_should_be(reference):
    """A share of exp(-t) of fresh clean values has a surprise above t, in the tail too."""
    fresh = reference.surprise("x", np.random.default_rng(1).exponential(2.0, 200_000))
    for level, within in ((1.0, 0.05), (3.0, 0.1), (5.0, 0.3)):
        assert np.mean(fresh > level) == pytest.approx(np.exp(-level), rel=within)


def test_beyond_all_that_was_seen_the_larger_is_still_the_stranger(reference):
    """No ties beyond the largest clean value."""
    far = reference.values["x"].max() + np.arange(1, 50, dtype=np.float32)
    assert (np.diff(reference.surprise("x", far)) > 0).all()


def test_it_never_falls_as_the_value_grows(reference):
    """Monotone, from below the smallest to beyond the largest, and never negative."""
    values = np.linspace(-1, 60, 5000)
    found = reference.surprise("x", values)
    assert (np.diff(found) >= 0).all()
    assert found.min() >= 0


def test_a_term_without_any_spread_still_tells_more_from_less():
    """All clean values alike: equal is unsurprising, larger is surprising, and nothing overflows."""
    reference = Reference.from_terms({"x": np.full(100, 3.0)})
    same, more = reference.surprise("x", np.array([3.0, 3.1], dtype=np.float32))
    assert same < 0.1
    assert np.isfinite(more)
    assert more > 5
