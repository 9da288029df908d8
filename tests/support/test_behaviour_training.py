"""The network behind the learned density: what each dimension of the action may see, and who says when to stop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from offline_to_online.support import behaviour_training as training
from offline_to_online.support.behaviour import BehaviourConfig


@pytest.mark.parametrize("size", [1, 2, 5])
def test_no_dimension_sees_itself_or_a_later_one(size):
    """The mixture of dimension i moves with dimensions before i, with all of them, and with no other."""
    config = BehaviourConfig(hidden=16, components=2)
    masks = training._masks(size, config)
    width = config.hidden
    through = masks["parts.weight"][:, :width] @ masks["joint.weight"][:, width:] > 0
    direct = masks["parts.weight"][:, 2 * width :] > 0
    before = torch.arange(size) < torch.arange(size)[:, None]
    wanted = before.repeat_interleave(config.components, dim=0).repeat(3, 1)
    assert torch.equal(through | direct, wanted)
    assert torch.equal(through, wanted)


def test_whole_episodes_are_held_out():
    """No episode is on both sides, and both sides have one."""
    episode_of = np.repeat(np.arange(10), 7)
    held_out = training._held_out(episode_of, 0.2, torch.Generator().manual_seed(0))
    assert held_out.sum() == 14
    assert {len(set(held_out[episode_of == e])) for e in range(10)} == {1}


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_of_two_episodes_one_is_held_out(share):
    """However the share rounds, something is left to train on and something to stop by."""
    held_out = training._held_out(np.array([0, 0, 1, 1]), share, torch.Generator().manual_seed(0))
    assert held_out.sum() == 2


def test_training_stops_when_held_out_episodes_gain_nothing(monkeypatch):
    """Held-out episodes that act otherwise than the rest: training on makes them worse, and few updates are made."""
    rng = np.random.default_rng(0)
    states, actions = (rng.normal(size=(200, 2)).astype(np.float32) for _ in range(2))
    episode_of = np.repeat(np.arange(10), 20)
    held_out = training._held_out(episode_of, 0.15, torch.Generator().manual_seed(0))
    actions[held_out], actions[~held_out] = 3.0, -3.0 + 0.1 * actions[~held_out]
    updates = []
    monkeypatch.setattr(training, "CHECK_EVERY", 20)
    monkeypatch.setattr(training, "_rate", lambda update, most: updates.append(update) or 1.0)
    config = BehaviourConfig(hidden=8, components=2, updates=500, batch_size=32, patience=2, learning_rate=3e-3)
    training.trained(states, actions, episode_of, config, 0)
    assert updates[-1] < 200


def test_the_best_layers_are_kept():
    """A check that is worse changes nothing but the count."""
    kept = training._Kept()
    kept.offer({"w": torch.zeros(1)}, 1.0)
    kept.offer({"w": torch.ones(1)}, 0.5)
    assert (kept.layers["w"].item(), kept.likelihood, kept.checks_since) == (0.0, 1.0, 1)


def test_the_rate_rises_then_falls():
    """From nearly nothing to the whole, then down to a twentieth."""
    rates = [training._rate(update, 4000) for update in (1, 100, 2000, 4000)]
    assert rates == pytest.approx([0.01, 1.0, 0.525, 0.05], abs=0.01)
