"""The behaviour's local log-density."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_to_online.support.density import local_log_density


def test_the_density_integrates_to_one():
    """exp of it, summed over a fine grid of one action dimension, is 1."""
    local = np.random.default_rng(0).normal(size=(1, 50, 1))
    grid = np.linspace(-8, 8, 4001)[:, None]
    density = np.exp(local_log_density(grid, np.repeat(local, len(grid), axis=0), 0.05))
    assert abs(density.sum() * (grid[1, 0] - grid[0, 0]) - 1.0) < 1e-3


def test_it_comes_near_a_known_density():
    """Fed with draws of a Gaussian, the density at its middle is near the Gaussian's own."""
    local = np.random.default_rng(1).normal(scale=0.5, size=(1, 4000, 1))
    found = local_log_density(np.zeros((1, 1)), local, 0.01)[0]
    assert abs(found - (-0.5 * np.log(2 * np.pi * 0.25))) < 0.1


@settings(max_examples=30, deadline=None)
@given(offset=st.floats(-1e4, 1e4), spread=st.sampled_from([0.0, 1e-9, 1.0, 1e3]))
def test_it_is_finite_however_far_or_tight(offset, spread):
    """Neither an action far away nor neighbours that agree exactly give NaN or infinity."""
    local = spread * np.random.default_rng(2).normal(size=(1, 20, 3))
    assert np.isfinite(local_log_density(np.full((1, 3), offset), local, 0.05)).all()


def test_what_was_done_here_is_more_likely_than_what_was_not():
    """Further from the neighbours' actions is less likely."""
    local = np.random.default_rng(3).normal(scale=0.1, size=(1, 30, 2))
    logs = [local_log_density(np.full((1, 2), x), local, 0.05)[0] for x in (0.0, 0.5, 1.0, 3.0)]
    assert logs == sorted(logs, reverse=True)
