"""The replay: what a transition is at the edges of episodes, and what is drawn."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_learning import ACTION, OBSERVATION, batches, episode, replay

from offline_to_online.dataset.episode import Episode
from offline_to_online.errors import DataError, TrainingError
from offline_to_online.learning.replay import SMALLEST_CAPACITY, Batch, Mixture, Replay, replay_for

episodes_drawn = st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=12)


def made(shapes: list[tuple[int, bool]], **settings: Any) -> tuple[list[Episode], Replay]:
    episodes = [episode(steps, seed=i, terminated=ended) for i, (steps, ended) in enumerate(shapes)]
    filled = Replay(OBSERVATION.size, ACTION.size, **settings)
    filled.extend(episodes)
    return episodes, filled


def everything(source: Replay) -> Batch:
    return source.gather(torch.arange(len(source)))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(episodes_drawn)
@settings(max_examples=40, deadline=None)
def test_every_transition_is_one_of_its_own_episode(shapes: list[tuple[int, bool]]) -> None:
    """Observation, action, reward and next observation of step t of episode i, for all t and i."""
    episodes, filled = made(shapes)
    got = everything(filled)
    assert len(filled) == len(got) == sum(map(len, episodes))
    assert filled.episodes == len(episodes)
    np.testing.assert_array_equal(got.observations, np.concatenate([e.observations[:-1] for e in episodes]))
    np.testing.assert_array_equal(got.next_observations, np.concatenate([e.observations[1:] for e in episodes]))
    np.testing.assert_array_equal(got.actions, np.concatenate([e.actions for e in episodes]))
    np.testing.assert_array_equal(got.rewards[:, 0], np.concatenate([e.rewards for e in episodes]))


@given(episodes_drawn)
@settings(max_examples=40, deadline=None)
def test_only_the_last_step_of_a_terminated_episode_is_terminal(shapes: list[tuple[int, bool]]) -> None:
    """A time-out is bootstrapped; so is every step before the last."""
    episodes, filled = made(shapes)
    expected = np.concatenate([[*[0.0] * (len(e) - 1), float(e.terminated)] for e in episodes])
    np.testing.assert_array_equal(everything(filled).terminals[:, 0], expected)


def expected(each: Episode, step: int, n_step: int, gamma: float) -> dict[str, Any]:
    """What a transition must hold, straight from the words of ``Batch``."""
    end = min(step + n_step, len(each))
    window = [float(reward) for reward in each.rewards[step:end]]
    to_go = [gamma**i * float(reward) for i, reward in enumerate(each.rewards[step:])]
    if not each.terminated:
        to_go.append(gamma ** len(to_go) * float(each.rewards[-1]) / (1 - gamma))
    return {
        "observations": each.observations[step],
        "actions": each.actions[step],
        "rewards": sum(gamma**i * reward for i, reward in enumerate(window)),
        "next_observations": each.observations[end],
        "terminals": float(each.terminated and end == len(each)),
        "intervals": end - step,
        "returns_to_go": sum(to_go),
        "next_actions": each.actions[min(end, len(each) - 1)],
    }


@given(episodes_drawn, st.integers(1, 40), st.floats(0.0, 0.999))
@settings(max_examples=60, deadline=None)
def test_transitions_over_n_steps_stop_at_the_end_of_their_episode(
    shapes: list[tuple[int, bool]], n_step: int, gamma: float
) -> None:
    """Every field of every step of every episode, against sums in plain Python."""
    episodes, filled = made(shapes, n_step=n_step, gamma=gamma)
    got = everything(filled)
    wanted = [expected(each, step, n_step, gamma) for each in episodes for step in range(len(each))]
    assert len(got) == len(wanted)
    for name in ("observations", "actions", "next_observations", "next_actions", "terminals", "intervals"):
        np.testing.assert_array_equal(getattr(got, name), np.stack([np.atleast_1d(row[name]) for row in wanted]))
    for name in ("rewards", "returns_to_go"):
        np.testing.assert_allclose(getattr(got, name)[:, 0], [row[name] for row in wanted], rtol=1e-5, atol=1e-5)


@given(episodes_drawn, st.integers(1, 40), st.floats(0.0, 0.99))
@settings(max_examples=40, deadline=None)
def test_a_bootstrapped_return_to_go_is_the_sum_of_its_windows(
    shapes: list[tuple[int, bool]], n_step: int, gamma: float
) -> None:
    """From step to step the n-step target leads to the return-to-go, as a value function that is right would."""
    episodes, filled = made(shapes, n_step=n_step, gamma=gamma)
    got, first = everything(filled), 0
    for each in episodes:
        rows = slice(first, first + len(each))
        to_go = got.returns_to_go[rows, 0].double()
        last = 0.0 if each.terminated else float(each.rewards[-1]) / (1 - gamma)
        to_go = torch.cat([to_go, torch.tensor([last])])
        interval = got.intervals[rows, 0].long()
        target = (
            got.rewards[rows, 0]
            + (1 - got.terminals[rows, 0]) * gamma**interval * to_go[torch.arange(len(each)) + interval]
        )
        torch.testing.assert_close(target, to_go[:-1], rtol=1e-4, atol=1e-4)
        first += len(each)


def test_one_step_is_the_logged_reward_to_the_last_bit() -> None:
    """Whatever the discount: nothing is added and taken off again."""
    episodes, filled = made([(30, False), (7, True)], gamma=0.3)
    np.testing.assert_array_equal(everything(filled).rewards[:, 0], np.concatenate([e.rewards for e in episodes]))


def test_without_discount_a_time_out_adds_nothing_to_the_returns() -> None:
    """A reward that goes on for ever has no finite sum there; what was logged is all that is told."""
    (timed_out,), filled = made([(5, False)], gamma=1.0, n_step=3)
    returns = everything(filled).returns_to_go[:, 0]
    np.testing.assert_allclose(returns, np.cumsum(timed_out.rewards[::-1].astype(float))[::-1], rtol=1e-5)


def test_returns_that_overflow_are_refused() -> None:
    """Rewards that are finite each, and in sum are not, would come out as an infinite value."""
    filled = replay(1)
    huge = dataclasses.replace(episode(3), rewards=np.full(3, 3e38, np.float32))
    with pytest.raises(DataError, match=r"rewards up to 3e\+38 \(episode 1 of the replay\)"):
        filled.append(huge)
    assert (len(filled), filled.episodes) == (len(replay(1)), 1)


@pytest.mark.parametrize("wrong", [{"n_step": 0}, {"gamma": 1.1}, {"gamma": -0.1}, {"gamma": float("nan")}])
def test_a_window_or_a_discount_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    """By its value."""
    with pytest.raises(TrainingError, match="n_step at least 1, gamma between 0 and 1"):
        Replay(3, 2, **wrong)


@dataclasses.dataclass(frozen=True)
class Values:
    """As much of an algorithm's Config as the replay looks at."""

    gamma: float = 0.9
    n_step: int = 4


def test_a_config_says_which_replay_it_needs() -> None:
    """One that values nothing gets single steps."""
    needs = replay_for(Values(), 3, 2, capacity_hint=5000)
    assert (needs.n_step, needs.gamma, needs.device.type, len(needs._actions)) == (4, 0.9, "cpu", 5000)
    clones = replay_for(SimpleNamespace(updates=5), 3, 2)
    assert (clones.n_step, clones.gamma) == (1, 0.99)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_batches_of_a_replay_on_a_gpu_are_drawn_and_stay_there() -> None:
    """By a generator of that device; the content is the one of the host."""
    _, there = made([(20, True), (9, False)], n_step=3, device="cuda")
    _, here = made([(20, True), (9, False)], n_step=3)
    batch = there.sample(16, torch.Generator("cuda").manual_seed(1))
    for each in dataclasses.fields(Batch):
        assert getattr(batch, each.name).is_cuda
        everywhere = getattr(there.gather(torch.arange(len(there), device="cuda")), each.name)
        assert torch.equal(everywhere.cpu(), getattr(everything(here), each.name))


@given(st.integers(1, 5), st.integers(0, 3000))
@settings(max_examples=20, deadline=None)
def test_room_made_beforehand_changes_nothing(count: int, capacity_hint: int) -> None:
    """Only the time that appending takes."""
    hinted = Replay(OBSERVATION.size, ACTION.size, capacity_hint)
    for i in range(count):
        hinted.append(episode(20, seed=i, terminated=i % 2 == 0))
    plain = everything(replay(count))
    for each in dataclasses.fields(Batch):
        assert torch.equal(getattr(everything(hinted), each.name), getattr(plain, each.name))


def test_growing_keeps_what_was_there() -> None:
    """Beyond the smallest capacity, and in few steps."""
    episodes = [episode(400, seed=i) for i in range(8)]
    filled = Replay(OBSERVATION.size, ACTION.size)
    capacities = set()
    for each in episodes:
        filled.append(each)
        capacities.add(len(filled._actions))
    assert len(filled) == 3200 > SMALLEST_CAPACITY
    assert sorted(capacities) == [1024, 2048, 4096]
    np.testing.assert_array_equal(everything(filled).actions, np.concatenate([e.actions for e in episodes]))


def test_batches_have_the_documented_shapes() -> None:
    """(N, O), (N, A), (N, 1), all float32."""
    batch = replay().sample(7, generator())
    shapes = {f.name: tuple(getattr(batch, f.name).shape) for f in dataclasses.fields(Batch)}
    assert shapes == {
        "observations": (7, 3), "actions": (7, 2), "rewards": (7, 1), "next_observations": (7, 3), "terminals": (7, 1),
        "intervals": (7, 1), "returns_to_go": (7, 1), "next_actions": (7, 2),
    }  # fmt: skip
    assert {getattr(batch, f.name).dtype for f in dataclasses.fields(Batch)} == {torch.float32}


def test_the_generator_alone_decides_what_is_drawn() -> None:
    """The global random state is neither used nor moved."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, same = (replay().sample(16, generator(3)).actions for _ in range(2))
    assert torch.equal(first, same)
    assert not torch.equal(first, replay().sample(16, generator(4)).actions)
    assert torch.equal(before, torch.get_rng_state())


def test_every_step_is_drawn_alike_often() -> None:
    """Long and short episodes weigh by their steps; the first and last steps are no exception."""
    filled = Replay(OBSERVATION.size, ACTION.size)
    filled.append(episode(1, seed=0))
    filled.append(episode(9, seed=1))
    drawn = filled.sample(20000, generator())
    counts = [int((drawn.actions == action).all(dim=1).sum()) for action in everything(filled).actions]
    assert min(counts) > 1800
    assert max(counts) < 2200


def test_a_later_change_of_the_episode_does_not_reach_the_replay() -> None:
    """It keeps its own copy."""
    source = episode(3)
    filled = Replay(OBSERVATION.size, ACTION.size)
    filled.append(source)
    kept = everything(filled).actions.clone()
    source.actions[:] = 0.0
    assert torch.equal(everything(filled).actions, kept)


def test_an_empty_replay_cannot_be_drawn_from() -> None:
    """Said in words rather than by an index error."""
    with pytest.raises(TrainingError, match="no transitions"):
        Replay(3, 2).sample(4, generator())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"actions": np.zeros((0, 2), np.float32)}, "empty episode"),
        ({"actions": np.zeros((5, 3), np.float32)}, "actions of shape"),
        ({"observations": np.zeros((5, 3), np.float32)}, "observations of shape"),
        ({"rewards": np.zeros(4, np.float32)}, "rewards of shape"),
        ({"rewards": np.array([0, 1, np.nan, 0, 0], np.float32)}, "rewards hold NaN"),
    ],
)
def test_a_broken_episode_is_refused_and_leaves_no_trace(changes: dict[str, np.ndarray], said: str) -> None:
    """The replay is as it was."""
    filled = replay(2)
    before = everything(filled)
    with pytest.raises(DataError, match=said):
        filled.append(dataclasses.replace(episode(5), **changes))
    assert len(filled) == len(before)
    assert torch.equal(everything(filled).observations, before.observations)


@given(st.floats(0.0, 1.0), st.integers(1, 300))
@settings(max_examples=40, deadline=None)
def test_a_mixture_draws_the_share_it_was_told(share: float, size: int) -> None:
    """Rounded to whole transitions, logged ones first."""
    far = Replay(OBSERVATION.size, ACTION.size, n_step=3)
    far.append(episode(10, offset=1000.0))
    batch = Mixture(offline=replay(2), online=far, online_share=share).sample(size, generator())
    online = round(size * share)
    assert (batch.observations[size - online :] > 900).all()
    assert (batch.observations[: size - online] < 900).all()
    assert (batch.intervals[: size - online] == 1).all()
    assert {len(getattr(batch, each.name)) for each in dataclasses.fields(Batch)} == {size}


def test_a_mixture_without_online_steps_is_offline() -> None:
    """The first round of a run has nothing else."""
    mixture = Mixture(offline=replay(), online=Replay(3, 2), online_share=0.5)
    assert len(mixture) == len(replay())
    assert torch.equal(mixture.sample(8, generator(1)).actions, replay().sample(8, generator(1)).actions)


def test_a_mixture_without_logged_steps_is_online() -> None:
    """And with neither there is nothing to draw."""
    mixture = Mixture(offline=Replay(3, 2), online=replay(), online_share=0.5)
    assert len(mixture.sample(8, generator())) == 8
    with pytest.raises(TrainingError, match="no transitions"):
        Mixture(offline=Replay(3, 2), online=Replay(3, 2), online_share=0.5).sample(8, generator())


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_its_range_is_refused(share: float) -> None:
    """A share is a share."""
    with pytest.raises(TrainingError, match="online share"):
        Mixture(offline=replay(1), online=replay(1), online_share=share)


def test_batches_of_the_fixture_differ() -> None:
    """The other tests learn from more than one batch."""
    first, second = batches(2)
    assert not torch.equal(first.actions, second.actions)
