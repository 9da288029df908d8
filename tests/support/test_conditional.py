"""The behaviour's density of an action given a state."""

from __future__ import annotations

import numpy as np
import pytest

from offline_to_online.support.conditional import Marginal, Residuals, each_log_density, local_log_density, mixed


def residuals_of(seed=0, count=500):
    """States (N, 3); actions (N, 2) that follow linearly from them, with correlated noise."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(count, 3)).astype(np.float32)
    noise = rng.normal(size=(count, 2)) @ np.array([[0.3, 0.2], [0.0, 0.1]])
    actions = (states[:, :2] * 0.8 + noise).astype(np.float32)
    return states, actions, Residuals.from_rows(states, actions)


def test_residuals_are_white_and_free_of_what_follows_from_the_state():
    """Unit covariance, and no correlation with any sensor."""
    states, actions, residuals = residuals_of()
    left = residuals.apply(states, actions)
    np.testing.assert_allclose(np.cov(left.T), np.eye(2), atol=0.05)
    assert np.abs(np.corrcoef(np.concatenate([states, left], axis=1).T)[:3, 3:]).max() < 0.01


def test_the_volume_turns_a_density_of_residuals_into_one_of_actions():
    """A unit cube of actions is exp(log_volume) cubes of residuals."""
    states, actions, residuals = residuals_of()
    corner = residuals.apply(states[:1], actions[:1])
    edges = np.stack([residuals.apply(states[:1], actions[:1] + np.eye(2, dtype=np.float32)[i])[0] for i in range(2)])
    assert np.log(abs(np.linalg.det(edges - corner))) == pytest.approx(residuals.log_volume, abs=1e-3)


@pytest.mark.parametrize("sizes", [(20,), (5, 20)])
def test_the_local_density_integrates_to_one(sizes):
    """Over a fine grid of actions in one state."""
    rng = np.random.default_rng(1)
    neighbours = rng.normal(size=(1, 20, 1)).astype(np.float32)
    grid = np.linspace(-8, 8, 4001, dtype=np.float32)[:, None]
    density = np.exp(local_log_density(grid, np.repeat(neighbours, len(grid), axis=0), sizes, 0.05))
    assert density.sum() * (grid[1, 0] - grid[0, 0]) == pytest.approx(1.0, abs=0.01)


def test_the_density_is_higher_where_the_operators_agreed_more():
    """The same action among neighbours that vary little is likelier than among those that vary much."""
    rng = np.random.default_rng(2)
    spread = rng.normal(size=(1, 50, 2)).astype(np.float32)
    action = np.zeros((1, 2), dtype=np.float32)
    assert local_log_density(action, spread * 0.1, (50,), 0.01) > local_log_density(action, spread, (50,), 0.01) + 2


def test_perfect_agreement_leaves_a_finite_density():
    """The floor keeps neighbours that all did the same from a density without bound."""
    same = np.ones((1, 10, 2), dtype=np.float32)
    assert np.isfinite(local_log_density(same[:, 0], same, (10,), 0.1)).all()


def test_the_marginal_density_integrates_to_one():
    """Over a fine grid of actions, for a log with an atom at a bound."""
    rng = np.random.default_rng(3)
    logged = np.concatenate([np.full(50, 1.0), rng.normal(size=50)])[:, None].astype(np.float32)
    grid = np.linspace(-8, 8, 8001, dtype=np.float32)[:, None]
    assert np.exp(Marginal.of(logged, 0.03).log_density(grid)).sum() * 0.002 == pytest.approx(1.0, abs=0.01)


def test_a_misread_state_cannot_make_an_ordinary_action_impossible():
    """However unlikely given the state, the mixture is at least its share of the marginal."""
    found = mixed(np.array([-500.0, 1.0]), np.array([-2.0, -2.0]), 0.1)
    assert found[0] == pytest.approx(-2.0 + np.log(0.1), abs=1e-4)
    assert found[1] == pytest.approx(np.log(0.9 * np.exp(1.0) + 0.1 * np.exp(-2.0)), abs=1e-4)


def test_each_command_has_a_density_that_integrates_to_one():
    """One dimension, mixed over neighbourhoods and the whole log."""
    rng = np.random.default_rng(4)
    near, logged = (rng.normal(size=shape).astype(np.float32) for shape in ((1, 40, 1), (300, 1)))
    grid = np.linspace(-8, 8, 8001, dtype=np.float32)[:, None]
    many = np.repeat(near, len(grid), axis=0)
    found = each_log_density(grid, many, Marginal.of(logged, 0.03), (10, 40), 0.03, 0.1)
    assert np.exp(found).sum() * 0.002 == pytest.approx(1.0, abs=0.01)


def test_a_command_beside_its_atom_is_rare_by_itself():
    """A command that stands at its bound in 98 of 100 steps: the joint kernel blurs what the single one sees."""
    rng = np.random.default_rng(5)
    near = np.stack([np.where(rng.random(100) < 0.02, -8.0, 1.0), rng.normal(size=100)], axis=1)[None].astype(
        np.float32
    )
    marginal = Marginal.of(near[0], 0.03)
    at, beside = (np.array([[value, 0.0]], dtype=np.float32) for value in (1.0, 0.5))
    single = [each_log_density(a, near, marginal, (100,), 0.03, 0.03)[0] for a in (at, beside)]
    joint = [local_log_density(a, near, (100,), 0.03)[0] for a in (at, beside)]
    assert single[0] - single[1] > 5
    assert joint[0] - joint[1] < 1
