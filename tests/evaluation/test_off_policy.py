"""Off-policy evaluation: what policies are worth by the log alone, and how far that is to be believed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from corridor import GAMMA, Dithering, Rightward, corridor_log, made_episode, true_value

from offline_to_online.errors import ParameterError, TrainingError
from offline_to_online.evaluation.off_policy import OffPolicyValues, ScreenConfig, fitted_q
from offline_to_online.learning.replay import Replay

SMALL = ScreenConfig(members=6, updates=1000, batch_size=64, hidden_units=(32, 32), learning_rate=3e-3)
BRIEF = ScreenConfig(members=3, updates=30, batch_size=16, hidden_units=(8,))
QUICK = dataclasses.replace(BRIEF, updates=300, learning_rate=0.1)
BOTH = {"right": Rightward(), "dither": Dithering()}


def evaluate(*replays, policies=BOTH, config=SMALL, seed=0) -> OffPolicyValues:
    return fitted_q(replays, policies, config, gamma=GAMMA, generator=torch.Generator().manual_seed(seed))


def test_intervals_hold_the_true_values_and_order_the_policies() -> None:
    """In a corridor whose values are known, each interval holds its value, and the better policy is surely better."""
    found = evaluate(corridor_log(80, seed=2))
    for name, policy in BOTH.items():
        estimate = found.value(name)
        assert estimate.low < true_value(policy) < estimate.high, name
    difference = found.difference("right", "dither")
    assert 0 < difference.low < true_value(Rightward()) - true_value(Dithering()) < difference.high
    assert found.difference("dither", "right").high == pytest.approx(-difference.low)


def test_more_episodes_say_it_more_exactly() -> None:
    """The interval of a value narrows as the log grows."""
    config, right = dataclasses.replace(SMALL, updates=200), {"right": Rightward()}
    few, many = (
        evaluate(corridor_log(count, seed=2), policies=right, config=config).value("right") for count in (8, 160)
    )
    assert many.high - many.low < 0.6 * (few.high - few.low)


@pytest.mark.parametrize(("terminated", "worth"), [(True, 1.0), (False, 10.0)])
def test_a_time_out_goes_on_and_a_terminal_does_not(terminated: bool, worth: float) -> None:
    """Of one step with a reward of 1: after a terminal that is all, after a time-out it goes on, 1 / (1 - 0.9)."""
    replay = Replay(1, 1, gamma=GAMMA)
    replay.extend(made_episode([0, 0], [0.7], [1.0], terminated=terminated) for _ in range(6))
    found = evaluate(replay, policies={"stay": Rightward()}, config=QUICK).members["stay"]
    np.testing.assert_allclose(found, worth, rtol=0.02)


def test_the_members_spread_as_chance_between_episodes_does() -> None:
    """Of 50 episodes with one random reward each, they spread as the mean of 50 such rewards does."""
    rewards = np.random.default_rng(0).normal(size=50)
    replay = Replay(1, 1, gamma=GAMMA)
    replay.extend(made_episode([0, 0], [0.7], [reward], terminated=True) for reward in rewards)
    config = dataclasses.replace(QUICK, members=40, batch_size=200)
    members = evaluate(replay, policies={"stay": Rightward()}, config=config).members["stay"]
    assert members.mean() == pytest.approx(rewards.mean(), abs=0.06)
    assert 0.75 < members.std() / (rewards.std() / np.sqrt(50)) < 1.35


def test_a_log_in_two_parts_is_one_log() -> None:
    """What was logged and what was collected stay apart on disk, and are one log to the estimate."""
    whole, first, second = Replay(1, 1, gamma=GAMMA), Replay(1, 1, gamma=GAMMA), Replay(1, 1, gamma=GAMMA)
    made = [made_episode([i, i + 1], [0.5], [float(i)], terminated=i % 2 == 0) for i in range(5)]
    whole.extend(made)
    first.extend(made[:2])
    second.extend(made[2:])
    one, other = evaluate(whole, config=BRIEF), evaluate(first, second, config=BRIEF)
    np.testing.assert_array_equal(one.members["right"], other.members["right"])


def test_policies_share_everything_but_their_actions() -> None:
    """The same policy twice is worth exactly the same, and one policy's value hardly depends on who else is judged."""
    log = corridor_log(10, seed=3)
    found = evaluate(log, policies={"one": Rightward(), "same": Rightward()}, config=BRIEF)
    same = found.difference("one", "same")
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    alone = evaluate(log, policies={"one": Rightward()}, config=BRIEF)
    np.testing.assert_allclose(alone.members["one"], found.members["one"], rtol=1e-3)


def test_the_seed_decides_everything() -> None:
    """The same seed gives the same numbers, another gives others, and the global random state stays as it is."""
    log, before = corridor_log(10, seed=3), torch.get_rng_state()
    one, again, other = (evaluate(log, config=BRIEF, seed=seed).members["right"] for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_values_stay_inside_what_rewards_could_add_up_to() -> None:
    """A policy that acts as nobody ever did is worth no more than the best reward for ever."""

    class Wild:
        def act(self, observations):
            return np.full((len(observations), 1), 1e4, dtype=np.float32)

    found = evaluate(corridor_log(10, seed=3), policies={"wild": Wild()}, config=BRIEF).members["wild"]
    assert (found <= 1 / (1 - GAMMA)).all()
    assert (found >= -0.2 / (1 - GAMMA)).all()


def test_the_interval_covers_as_often_as_it_says() -> None:
    """Where the error is one more draw of what the members are draws of, it lies inside 95 times in 100."""
    rng = np.random.default_rng(0)
    draws = rng.normal(3.0, 2.0, (4000, 6))
    found = OffPolicyValues(members={str(i): row for i, row in enumerate(draws[:, 1:])}, alpha=0.05)
    estimates = [found.value(str(i)) for i in range(len(draws))]
    covered = np.mean([e.low < truth < e.high for e, truth in zip(estimates, draws[:, 0], strict=True)])
    assert 0.935 < covered < 0.965


def test_what_cannot_be_evaluated_is_refused() -> None:
    """No transitions, no policy, or a discount under which a sum never ends."""
    with pytest.raises(TrainingError, match="no transitions"):
        evaluate(Replay(1, 1, gamma=GAMMA))
    with pytest.raises(ParameterError, match="0 policies"):
        evaluate(corridor_log(2, seed=0), policies={})
    with pytest.raises(ParameterError, match="discount 1"):
        fitted_q([corridor_log(2, seed=0)], BOTH, BRIEF, gamma=1.0, generator=torch.Generator())
    with pytest.raises(ParameterError, match="of another discount, or of several steps"):
        evaluate(Replay(1, 1, gamma=GAMMA, n_step=2))


@pytest.mark.parametrize(
    "change", [{"margin": -1.0}, {"alpha": 0.0}, {"members": 1}, {"updates": 0}, {"hidden_units": (0,)}]
)
def test_a_setting_out_of_range_is_refused(change) -> None:
    """By its name, as it stands in params.yaml."""
    with pytest.raises(ParameterError, match=f"online.screen.{next(iter(change))}"):
        ScreenConfig(**change)
