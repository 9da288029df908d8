"""The support penalty: what it charges for, where it says that it acts, and how it is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import SupportError
from offline_to_online.support.behaviour import BehaviourConfig, BehaviourDensity
from offline_to_online.support.penalty import SupportPenalty, by_region, table, where_it_acts

SMALL = BehaviourConfig(hidden=24, components=3, updates=400, batch_size=128, learning_rate=5e-3)


@pytest.fixture(scope="module")
def episodes(make_log):
    """Forty of the same behaviour."""
    return make_log(0, 40)


@pytest.fixture(scope="module")
def penalty(episodes) -> SupportPenalty:
    """Of forty episodes whose actions follow tanh of the state."""
    return SupportPenalty.fit(episodes, SMALL, seed=0)


def rows(episodes) -> tuple[Array, Array]:
    observations = np.concatenate([e.observations[:-1] for e in episodes])
    return observations, np.concatenate([e.actions for e in episodes])


def tensors(episodes) -> tuple[torch.Tensor, torch.Tensor]:
    observations, actions = rows(episodes)
    return torch.from_numpy(observations), torch.from_numpy(actions)


def test_the_floor_is_a_quantile_of_episodes_that_were_not_trained_on(episodes, penalty) -> None:
    """A tenth of the held-out steps lies below it, and the card says how many there were."""
    observations, actions = rows(episodes)
    episode_of = np.repeat(np.arange(40), 12)
    rest = BehaviourDensity.held_out(episode_of, SMALL, 0)
    assert len(np.unique(episode_of[rest])) == penalty.made["episodes"] == 6
    assert penalty.made["steps"] == rest.sum() == 72
    below = penalty.density.log_prob(observations[rest], actions[rest]) < penalty.floor
    assert below.mean() == pytest.approx(0.1, abs=0.02)


def test_held_out_episodes_are_those_that_training_never_saw(episodes) -> None:
    """Swapping the held-out actions among each other changes nothing that is learned; swapping trained ones does."""
    observations, actions = rows(episodes)
    episode_of = np.repeat(np.arange(40), 12)
    once = BehaviourConfig(hidden=8, components=2, updates=50)  # one check only, so that it stops at the same
    rest = BehaviourDensity.held_out(episode_of, once, 0)
    learned = []
    for swapped in (np.zeros_like(rest), rest, ~rest):
        other = actions.copy()
        other[swapped] = other[swapped][::-1]  # mean and deviation of all rows stay
        learned.append(BehaviourDensity.fit(observations, other, episode_of, once, 0).tensors()["parts.weight"])
    assert np.abs(learned[0] - learned[1]).max() < 1e-5
    assert np.abs(learned[0] - learned[2]).max() > 1e-4


def test_what_the_log_does_is_cheap_and_random_actions_are_dear(make_log, penalty) -> None:
    """On new episodes of the same behaviour."""
    observations, actions = rows(make_log(5, 20))
    own = penalty.measure(observations, actions)
    wild = penalty.measure(observations, np.random.default_rng(0).uniform(-1, 1, actions.shape).astype(np.float32))
    assert (own > 0).mean() < 0.25
    assert (wild > 0).mean() > 0.9
    assert wild.mean() > 10 * own.mean()


def test_it_is_never_negative_and_grows_by_the_missing_nats(episodes, penalty) -> None:
    """max(0, floor - log p), to the number."""
    observations, actions = rows(episodes)
    far = actions + np.linspace(0, 2, len(actions), dtype=np.float32)[:, None]
    expected = np.maximum(penalty.floor - penalty.density.log_prob(observations, far), 0)
    np.testing.assert_allclose(penalty.measure(observations, far), expected, rtol=1e-6)
    assert expected.min() == 0 < expected.max()


def test_torch_says_what_numpy_says_for_one_candidate_and_for_many(episodes, penalty) -> None:
    """(B, A) gives (B,), (B, C, A) gives (B, C)."""
    observations, actions = tensors(episodes)
    one = penalty(observations, actions)
    assert one.shape == (len(actions),)
    np.testing.assert_allclose(one, penalty.measure(*rows(episodes)), atol=1e-4, rtol=1e-5)
    candidates = torch.stack([actions, actions + 0.5, actions - 2.0], dim=1)
    many = penalty(observations, candidates)
    assert many.shape == (len(actions), 3)
    for i in range(3):
        torch.testing.assert_close(many[:, i], penalty(observations, candidates[:, i]), atol=1e-3, rtol=1e-4)


def test_down_its_gradient_lies_the_data(episodes, penalty) -> None:
    """A small step against it makes nearly every far action cheaper; a likely action feels nothing."""
    observations, actions = tensors(episodes)
    far = (actions + 0.7).requires_grad_()
    before = penalty(observations, far)
    (slope,) = torch.autograd.grad(before.sum(), far)
    step = 1e-3 * slope / slope.norm(dim=1, keepdim=True).clamp(min=1e-9)
    assert (penalty(observations, far - step) < before).float().mean() > 0.95
    near = actions.clone().requires_grad_()
    free = penalty(observations, near)
    (slope,) = torch.autograd.grad(free.sum(), near)
    assert (slope[free == 0] == 0).all()


def test_by_region_is_told_where_it_acts() -> None:
    """Mean, share and steps of each region; nothing where no step lies."""
    observations, actions = np.array([[-1.0], [-1.0], [1.0], [1.0]]), np.zeros((4, 1))
    masks = {"left": observations[:, 0] < 0, "right": observations[:, 0] > 0, "nowhere": observations[:, 0] > 9}
    found = by_region(lambda o, a: masks, observations, actions, np.array([0.0, 3.0, 2.0, 2.0], dtype=np.float32))
    assert found["left"] == {"mean": 1.5, "share_penalised": 0.5, "steps": 2}
    assert found["right"] == {"mean": 2.0, "share_penalised": 1.0, "steps": 2}
    assert found["nowhere"] == {"mean": 0.0, "share_penalised": 0.0, "steps": 0}


def test_a_policy_that_leaves_the_data_on_the_left_is_seen_there(episodes, penalty, module) -> None:
    """That region stands first, beside the data's own actions, and in the lines that a person reads."""

    def act(observations: Array) -> Array:
        wrong = np.where(observations[:, :1] < 0, 1.5, 0.0)
        return (np.tanh(observations[:, :2]) * 0.8 + wrong).astype(np.float32)

    found = where_it_acts(penalty, module.regions, episodes, act)
    by_name = {row["region"]: row for row in found["regions"]}
    assert by_name["reset_state/left"]["greedy"]["share_penalised"] > 0.95
    assert by_name["reset_state/right"]["greedy"]["share_penalised"] < 0.3
    assert by_name["reset_state/left"]["data"]["share_penalised"] < 0.3
    assert found["regions"][0] == by_name["reset_state/left"]
    assert found["greedy"]["steps"] == found["data"]["steps"] == 480
    assert found["sha256"] == penalty.sha256
    lines = table(found).splitlines()
    assert 2 <= len(lines) <= 5
    assert "reset_state/left" in "\n".join(lines[1:3])
    json.dumps(found, allow_nan=False)


def test_the_same_log_gives_the_same_files(episodes, tmp_path: Path) -> None:
    """Byte for byte, and loading gives back what was saved."""
    small = BehaviourConfig(hidden=8, components=2, updates=5)
    for name in ("one", "two"):
        SupportPenalty.fit(episodes, small, seed=3).save(tmp_path / name)
    files = [{p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert files[0] == files[1]
    assert set(files[0]) == {"behaviour.safetensors", "behaviour.json"}
    loaded, fitted = SupportPenalty.load(tmp_path / "one"), SupportPenalty.fit(episodes, small, seed=3)
    assert loaded.sha256 == fitted.sha256
    np.testing.assert_array_equal(loaded.measure(*rows(episodes)), fitted.measure(*rows(episodes)))


@pytest.mark.parametrize("change", ["floor", "tensors", "card", "absent"])
def test_what_was_changed_is_refused(episodes, tmp_path: Path, change: str) -> None:
    """A lower floor in the card, other weights, a card that is none, or no file: one error each."""
    SupportPenalty.fit(episodes, BehaviourConfig(hidden=8, components=2, updates=5), seed=3).save(tmp_path)
    card, weights = tmp_path / "behaviour.json", tmp_path / "behaviour.safetensors"
    match change:
        case "floor":
            card.write_text(json.dumps({**json.loads(card.read_text()), "floor": -1e9}))
        case "tensors":
            weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x00\x00\x40")
        case "card":
            card.write_text("[1]")
        case "absent":
            weights.unlink()
    with pytest.raises(SupportError, match="unreadable support penalty"):
        SupportPenalty.load(tmp_path)


def test_too_little_to_fit_on_is_one_error(make_log) -> None:
    """No episode, one episode, or two of a few steps."""
    for episodes in ([], make_log(0, 1), make_log(0, 2, steps=3)):
        with pytest.raises(SupportError, match="behaviour density"):
            SupportPenalty.fit(episodes, SMALL, seed=0)


def test_a_handful_of_short_episodes_is_enough(make_log) -> None:
    """The smallest log that may be fitted gives a finite floor."""
    made = SupportPenalty.fit(make_log(0, 2, steps=16), BehaviourConfig(hidden=4, components=2, updates=5), seed=0)
    assert np.isfinite(made.floor)
    assert made.made["episodes"] == 1
