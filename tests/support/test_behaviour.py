"""The learned density of the logged behaviour."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from offline_to_online.errors import ParameterError, SupportError
from offline_to_online.support.behaviour import BehaviourConfig, BehaviourDensity

SMALL = BehaviourConfig(hidden=24, components=3, updates=400, batch_size=128, learning_rate=5e-3)
TINY = BehaviourConfig(hidden=8, components=2, updates=5)
NOISE = 0.3


def logged(seed: int, episodes: int = 20, steps: int = 40):
    """Actions of three dimensions: two that follow the state, the second also the first, and one that never moves."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(episodes * steps, 4)).astype(np.float32)
    first = np.tanh(states[:, 0]) + NOISE * rng.normal(size=len(states))
    second = -first + 0.5 * states[:, 1] + 0.05 * rng.normal(size=len(states))
    actions = np.stack([first, second, np.full(len(states), 0.5)], axis=1).astype(np.float32)
    return states, actions, np.repeat(np.arange(episodes), steps)


@pytest.fixture(scope="module")
def density() -> BehaviourDensity:
    """Fitted on ``logged(0)``."""
    return BehaviourDensity.fit(*logged(0), SMALL, seed=0)


@pytest.fixture(scope="module")
def held_out():
    """States and actions of the same behaviour, never fitted on."""
    states, actions, _ = logged(1, episodes=5)
    return states, actions


def test_the_same_log_gives_the_same_bytes():
    """Twice the same inputs, with the process' random numbers elsewhere: the same tensors to the last bit."""
    first = BehaviourDensity.fit(*logged(0), TINY, seed=3).tensors()
    torch.rand(7)
    again = BehaviourDensity.fit(*logged(0), TINY, seed=3).tensors()
    assert {n: t.tobytes() for n, t in first.items()} == {n: t.tobytes() for n, t in again.items()}


def test_another_seed_gives_another_density():
    """The seed reaches the weights."""
    one, other = (BehaviourDensity.fit(*logged(0), TINY, seed=s).tensors() for s in (0, 1))
    assert not np.array_equal(one["state.weight"], other["state.weight"])


def test_fitting_leaves_torch_as_it_was():
    """Neither the number of threads nor the process' random numbers are changed by a fit."""
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    BehaviourDensity.fit(*logged(0), TINY, seed=0)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_tensors_and_back(density, held_out):
    """What was learned survives as plain float32 arrays."""
    tensors = density.tensors()
    assert {t.dtype for t in tensors.values()} == {np.dtype(np.float32)}
    loaded = BehaviourDensity.from_tensors(tensors)
    np.testing.assert_array_equal(loaded.log_prob(*held_out), density.log_prob(*held_out))


def test_torch_says_what_numpy_says(density, held_out):
    """The two paths agree, on what was logged and far away from it."""
    states, actions = held_out
    for scale in (1.0, 30.0):
        found = density.log_prob_torch(torch.from_numpy(scale * states), torch.from_numpy(scale * actions))
        np.testing.assert_allclose(
            found.numpy(), density.log_prob(scale * states, scale * actions), atol=1e-4, rtol=1e-5
        )


def test_many_candidates_in_one_state(density, held_out):
    """States (B, 1, O) with candidates (B, C, A) give what each pair gives alone."""
    states, actions = (torch.from_numpy(rows) for rows in held_out)
    together = density.log_prob_torch(states[:8, None], actions[:24].reshape(8, 3, 3))
    alone = density.log_prob_torch(states[:8].repeat_interleave(3, dim=0), actions[:24])
    torch.testing.assert_close(together.reshape(-1), alone, atol=1e-4, rtol=1e-5)


def test_one_or_many_queries_give_the_same(density, held_out):
    """A query asked alone, as the guard asks, gets the number it gets among many."""
    states, actions = held_out
    alone = [density.log_prob(states[i : i + 1], actions[i : i + 1])[0] for i in range(20)]
    np.testing.assert_allclose(alone, density.log_prob(states, actions)[:20], atol=1e-4)


def test_along_the_gradient_actions_become_more_likely(density, held_out):
    """A small step along d log p / d a raises log p of nearly every random action."""
    states = torch.from_numpy(held_out[0])
    noise = torch.randn((len(states), 3), generator=torch.Generator().manual_seed(0))
    actions = torch.from_numpy(held_out[1]) + noise * torch.tensor([0.3, 0.3, 0.0])
    actions.requires_grad_()
    before = density.log_prob_torch(states, actions)
    (gradient,) = torch.autograd.grad(before.sum(), actions)
    step = 1e-3 * gradient / gradient.norm(dim=1, keepdim=True) * torch.tensor([1.0, 1.0, 1e-4])
    after = density.log_prob_torch(states, actions + step)
    assert (after > before).float().mean() > 0.97


@pytest.fixture(scope="module")
def one_number() -> BehaviourDensity:
    """Fitted on the first dimension of the actions alone."""
    states, actions, episode_of = logged(0, episodes=60)
    return BehaviourDensity.fit(states, actions[:, :1], episode_of, SMALL, seed=0)


def test_it_integrates_to_one(one_number):
    """exp of it over a grid of one action dimension, in standard deviations, sums to 1 in every state asked."""
    scale = one_number.tensors()["action.scale"][0]
    grid = (np.linspace(-40, 40, 8001) * scale).astype(np.float32)[:, None]
    for state in logged(2)[0][:5]:
        logs = one_number.log_prob(np.repeat(state[None], len(grid), axis=0), grid)
        assert abs(np.exp(logs.astype(np.float64)).sum() * 0.01 - 1.0) < 5e-3


def test_it_comes_near_the_true_density(one_number, held_out):
    """On held-out steps its mean is near the behaviour's own, which is known here, and is not above it."""
    spread = np.hypot(NOISE / one_number.tensors()["action.scale"][0], SMALL.blur)
    true = -0.5 * np.log(2 * np.pi * np.e * spread**2)
    found = one_number.log_prob(held_out[0], held_out[1][:, :1]).mean()
    assert -0.2 < found - true < 0.1


def test_it_knows_that_one_dimension_follows_another(density, held_out):
    """Two dimensions each plausible alone but not together are unlikely: the behaviour ties them."""
    states, actions = held_out
    apart = actions.copy()
    apart[:, 0] += 0.3
    together = apart.copy()
    together[:, 1] -= 0.3
    assert density.log_prob(states, together).mean() > density.log_prob(states, apart).mean() + 1.0


def test_random_actions_are_less_likely_than_logged_ones(density, held_out):
    """Nearly every held-out action is more likely than a uniform one in the same state."""
    states, actions = held_out
    random = np.random.default_rng(2).uniform(-2, 2, size=actions.shape).astype(np.float32)
    assert (density.log_prob(states, actions) > density.log_prob(states, random)).mean() > 0.97


def test_a_dimension_that_never_moved_counts_when_it_moves(density, held_out):
    """Leaving the one value that was ever logged is unlikely, and the density there stays finite."""
    states, actions = held_out
    moved = actions.copy()
    moved[:, 2] = 0.6
    logs = density.log_prob(states, moved)
    assert np.isfinite(logs).all()
    assert (logs < density.log_prob(states, actions) - 5).all()


@pytest.mark.parametrize("size", [1e2, 1e6, 1e30])
def test_wild_states_and_actions_give_finite_numbers(density, held_out, size):
    """However far a state or an action is, log p and its gradient are finite."""
    states, actions = (np.float32(size) * rows for rows in held_out)
    assert np.isfinite(density.log_prob(states, actions)).all()
    wild = torch.from_numpy(actions).requires_grad_()
    (gradient,) = torch.autograd.grad(density.log_prob_torch(torch.from_numpy(states), wild).sum(), wild)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_query_that_is_not_finite_is_impossible(density, held_out, bad):
    """-inf in its row, in numpy and in torch, and the other rows as before."""
    states, actions = (rows[:4].copy() for rows in held_out)
    expected = density.log_prob(states, actions)
    states[1, 2], actions[2, 0] = bad, bad
    for logs in (
        density.log_prob(states, actions),
        density.log_prob_torch(torch.from_numpy(states), torch.from_numpy(actions)).numpy(),
    ):
        assert np.isneginf(logs[1:3]).all()
        np.testing.assert_allclose(logs[[0, 3]], expected[[0, 3]], atol=1e-4)


def test_no_query_gives_no_number(density):
    """Zero rows in, zero rows out."""
    empty = density.log_prob(np.zeros((0, 4), np.float32), np.zeros((0, 3), np.float32))
    assert empty.shape == (0,)
    assert empty.dtype == np.float32


@pytest.mark.parametrize(("episodes", "steps"), [(1, 100), (2, 10), (0, 40)])
def test_too_little_data_is_refused(episodes, steps):
    """One episode, or a handful of steps, is said to be too little."""
    with pytest.raises(SupportError, match="at least 32 of 2"):
        BehaviourDensity.fit(*logged(0, episodes, steps), SMALL, seed=0)


@pytest.mark.parametrize("column", [0, 1])
def test_a_log_with_nan_is_refused(column):
    """NaN in the data is an error, not a network of NaN."""
    rows = logged(0)
    rows[column][7, 1] = np.nan
    with pytest.raises(SupportError, match="NaN"):
        BehaviourDensity.fit(*rows, SMALL, seed=0)


def test_training_that_diverges_is_one_error():
    """A learning rate at which weights blow up is named, with the remedy."""
    config = BehaviourConfig(hidden=8, components=2, updates=20, learning_rate=1e38)
    with pytest.raises(SupportError, match=r"lower behaviour[.]learning_rate"):
        BehaviourDensity.fit(*logged(0), config, seed=0)


def test_rows_that_do_not_belong_together_are_refused():
    """As many observations as actions as episode indices."""
    states, actions, episode_of = logged(0)
    with pytest.raises(SupportError, match="as many of each"):
        BehaviourDensity.fit(states[:-1], actions, episode_of, SMALL, seed=0)


def test_another_robot_is_refused(density):
    """Other sizes than those of the fit are an error in both paths."""
    states, actions = np.zeros((2, 4), np.float32), np.zeros((2, 2), np.float32)
    with pytest.raises(SupportError, match="4 observation and 2 action"):
        density.log_prob(states, actions)
    with pytest.raises(SupportError, match="4 observation and 2 action"):
        density.log_prob_torch(torch.from_numpy(states), torch.from_numpy(actions))
    with pytest.raises(SupportError, match="shapes"):
        density.log_prob(states[:1], np.zeros((2, 3), np.float32))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("state.weight", lambda t: t[:, :-1]),
        ("parts.bias", lambda t: t[:-1]),
        ("action.scale", lambda t: 0 * t),
        ("joint.weight", lambda t: t.astype(np.float64)),
        ("blur", lambda t: np.nan * t),
        ("features.bias", None),
    ],
)
def test_tensors_of_something_else_are_refused(density, name, change):
    """Missing, misshapen, wrong in type or not finite: one error, not a traceback from a matrix product."""
    tensors = density.tensors()
    tensors = {n: t for n, t in tensors.items() if n != name} | ({name: change(tensors[name])} if change else {})
    with pytest.raises(SupportError, match="behaviour density"):
        BehaviourDensity.from_tensors(tensors)


@pytest.mark.parametrize(
    ("name", "value"),
    [("components", 0), ("hidden", 1.5), ("blur", 0.0), ("dropout", 1.0), ("held_out_share", 0.0), ("updates", -1),
     ("learning_rate", float("nan")), ("weight_decay", float("inf")),
     ("floor_quantile", 1.0)],
)  # fmt: skip
def test_numbers_out_of_range_are_refused_by_name(name, value):
    """Each setting says its own name."""
    with pytest.raises(ParameterError, match=f"behaviour.{name}"):
        BehaviourConfig(**{name: value})
