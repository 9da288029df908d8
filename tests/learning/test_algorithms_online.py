"""The contract of every algorithm in the folder: what the switch to online asks of each."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_learning import ACTION, OBSERVATION, SMALL, assert_same, batches, episode, learner, observations, updated

from offline_to_online import plugins
from offline_to_online.errors import PolicyError, TrainingError
from offline_to_online.learning.learner import Normaliser
from offline_to_online.learning.policy import Policy

ALGORITHMS = plugins.available("algorithms")
every = pytest.mark.parametrize("name", ALGORITHMS)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A policy that another algorithm exported, over another normaliser."""
    module = plugins.module_for("algorithms", "bc")
    made = module.make(
        module.Config(**SMALL),
        observation=OBSERVATION,
        action=ACTION,
        normaliser=Normaliser.from_episodes([episode(30, seed=21, offset=1.0)]),
        seed=5,
    )
    for batch in batches(5):
        made.update(batch)
    made.export(tmp_path / "bc.safetensors")
    return tmp_path / "bc.safetensors"


@every
def test_a_critic_rate_of_zero_freezes_the_values(name: str) -> None:
    """Everything but what belongs to the policy, its average and its temperature."""
    made = updated(name, 4)
    before = made.state()
    made.scale_learning_rates(critic=0.0)
    made.update(batches(1)[0])
    after = made.state()
    values = [key for key in before if key.startswith("network.") and ("q_funcs" in key or "critics" in key)]
    frozen = [key for key in values if "targ" not in key]  # the targets go on following
    assert bool(frozen) == (name != "bc")
    assert all(torch.equal(before[key], after[key]) for key in frozen)


@every
def test_starts_from_an_exported_policy(name: str, exported: Path, tmp_path: Path) -> None:
    """It acts and exports as that policy to the last bit, and its own values stay as they are."""
    made = updated(name, 3)
    before = made.state()
    made.adopt(exported)
    policy = Policy.load(exported)
    np.testing.assert_array_equal(made.act(observations()), policy.act(observations()))
    made.export(tmp_path / "again.safetensors")
    again = Policy.load(tmp_path / "again.safetensors")
    np.testing.assert_array_equal(again.act(observations()), policy.act(observations()))
    after = made.state()
    kept = [key for key in before if key.startswith("optimiser.") or "q_funcs" in key or "critics" in key]
    assert all(torch.equal(before[key], after[key]) for key in kept)


@every
def test_what_was_adopted_is_what_learns(name: str, exported: Path) -> None:
    """Two learners that were apart and adopted one policy propose alike after an update, or nearly so."""
    made = learner(name)
    made.adopt(exported)
    start = made.act(observations())
    for batch in batches(2):
        made.update(batch)
    moved = (made.act(observations()) - start) / (ACTION.high - ACTION.low)
    assert 0.0 < np.abs(moved).max() < 0.1


@every
def test_a_policy_that_does_not_fit_is_refused_whole(name: str, exported: Path, tmp_path: Path) -> None:
    """Of another width, or no policy at all; nothing was changed."""
    made, other = updated(name, 2), learner(name, hidden_units=(16, 9))
    before = made.state()
    (tmp_path / "rubbish").write_bytes(b"rubbish")
    for wrong in (tmp_path / "rubbish", tmp_path / "missing"):
        with pytest.raises(PolicyError):
            made.adopt(wrong)
    with pytest.raises(PolicyError):
        other.adopt(exported)
    now = made.state()
    assert all(torch.equal(now[key], before[key]) for key in before)
    np.testing.assert_array_equal(other.act(observations()), learner(name, hidden_units=(16, 9)).act(observations()))


@every
def test_a_behaviour_factor_goes_with_the_state(name: str) -> None:
    """Set in one, restored into another that never heard of it: both continue bit for bit."""
    whole, again = updated(name, 4), learner(name, seed=33)
    whole.scale_behaviour(0.25)
    again.restore(whole.state())
    for batch in batches(4, seed=8):
        assert whole.update(batch) == again.update(batch)
    assert_same(whole, again)


@every
def test_a_behaviour_factor_counts_from_the_configured_weight(name: str) -> None:
    """Not from the last one; 1 is as if it had never been set, and 0 is allowed."""
    scaled, plain = updated(name, 2), updated(name, 2)
    for factor in (0.5, 0.0, 1.0):
        scaled.scale_behaviour(factor)
    for batch in batches(2, seed=8):
        scaled.update(batch)
        plain.update(batch)
    assert_same(scaled, plain)


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"bc", "iql", "awac"}))
def test_a_behaviour_factor_changes_what_is_learned(name: str) -> None:
    """Where there is such a weight; what else is learned by is the same."""
    known = plugins.module_for("algorithms", name).Config.__dataclass_fields__
    settings = {"cloning_updates": 0} if "cloning_updates" in known else {}  # while it only clones, nothing weighs
    policies = []
    for factor in (1.0, 0.0, 4.0):
        made = learner(name, **settings)
        made.scale_behaviour(factor)
        for batch in batches(6):
            made.update(batch)
        policies.append(made.act(observations()))
    assert not np.array_equal(policies[0], policies[1])
    assert not np.array_equal(policies[0], policies[2])


@every
@pytest.mark.parametrize("factor", [-1.0, math.nan, math.inf])
def test_a_behaviour_factor_that_is_none_is_refused(name: str, factor: float) -> None:
    """Said at once, by those too that have no such weight."""
    made = learner(name)
    before = made.state()
    with pytest.raises(TrainingError, match="behaviour"):
        made.scale_behaviour(factor)
    assert all(torch.equal(tensor, before[key]) for key, tensor in made.state().items())


@every
def test_the_values_optimiser_can_be_made_to_forget(name: str) -> None:
    """Its moments alone: weights, rates and the policy's own moments stay."""
    made = updated(name, 4)
    made.scale_learning_rates(critic=0.5)
    before = made.state()
    made.reset_critic_optimizer()
    after = made.state()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    moments = {f"optimiser.critic.{part}" for part in ("step", "exp_avg", "exp_avg_sq")}
    assert changed == moments & set(before)
    assert bool(changed) == (name != "bc")
    assert all(not after[key].any() for key in changed)
    made.update(batches(1, seed=8)[0])
