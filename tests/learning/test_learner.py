"""What the algorithms share: normalising, and states on disk."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from small_learning import episode, made_episode

from offline_to_online.errors import PolicyError, TrainingError
from offline_to_online.learning.learner import Normaliser, load_state, save_state


def test_normalised_observations_have_mean_0_and_deviation_1() -> None:
    """Over the observations that a decision was taken on."""
    episodes = [episode(200, seed=i) for i in range(3)]
    rows = torch.from_numpy(np.concatenate([e.observations[:-1] for e in episodes]))
    scaled = Normaliser.from_episodes(episodes).apply(rows)
    assert torch.allclose(scaled.mean(dim=0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(scaled.std(dim=0), torch.ones(3), atol=1e-2)


def test_the_final_observation_of_an_episode_does_not_count() -> None:
    """Nothing was decided on it."""
    one = episode(20)
    far = made_episode(
        observations=np.vstack([one.observations[:-1], np.full((1, 3), 1e6)]),
        actions=one.actions,
        rewards=one.rewards,
        terminated=True,
    )
    assert torch.equal(Normaliser.from_episodes([one]).mean, Normaliser.from_episodes([far]).mean)


def test_a_dimension_that_never_moves_is_left_at_its_scale() -> None:
    """A small move of it online must not drown the others; one that hardly moves has a floor."""
    rows = np.zeros((21, 3))
    rows[:, 1] = np.linspace(-1e-5, 1e-5, 21)
    rows[:, 2] = 0.3
    still = made_episode(observations=rows, actions=np.ones((20, 2)), rewards=np.zeros(20), terminated=False)
    np.testing.assert_allclose(Normaliser.from_episodes([still]).std, [1.0, 1e-3, 1.0])


def test_normalising_makes_a_new_tensor() -> None:
    """The batch stays in robot units."""
    rows = torch.ones(2, 3)
    Normaliser(mean=torch.ones(3), std=torch.full((3,), 2.0)).apply(rows)
    assert torch.equal(rows, torch.ones(2, 3))


def test_the_identity_changes_nothing() -> None:
    """For a learner whose state will be restored anyway."""
    rows = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Normaliser.identity(3).apply(rows), rows)


def test_tensors_and_back() -> None:
    """Independent of the original."""
    normaliser = Normaliser.from_episodes([episode(20)])
    tensors = normaliser.to_tensors()
    again = Normaliser.from_tensors(tensors)
    tensors["observation.mean"].zero_()
    assert torch.equal(again.mean, normaliser.mean)
    assert torch.equal(again.std, normaliser.std)


def test_no_episodes_cannot_be_normalised_by() -> None:
    """Said in words."""
    with pytest.raises(TrainingError, match="no episodes"):
        Normaliser.from_episodes([])


def test_a_state_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """Names, types and values; the order of names does not matter to the bytes."""
    state = {"b": torch.arange(3), "a": torch.ones(2, 2), "c": torch.tensor(0.1, dtype=torch.float64)}
    save_state(tmp_path / "one", state)
    save_state(tmp_path / "two", dict(sorted(state.items())))
    loaded = load_state(tmp_path / "one")
    assert set(loaded) == set(state)
    assert all(
        torch.equal(loaded[name], tensor) and loaded[name].dtype == tensor.dtype for name, tensor in state.items()
    )
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    """A missing file, rubbish, a pickle."""
    path = tmp_path / "learner.safetensors"
    with pytest.raises(PolicyError, match="cannot read the learner"):
        load_state(path)
    for content in (b"", b"rubbish", pickle.dumps({"weights": [1.0]})):
        path.write_bytes(content)
        with pytest.raises(PolicyError, match="no safetensors file"):
            load_state(path)
