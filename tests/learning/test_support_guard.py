"""Support Guard: what the penalty does, what the targets are, and what changes online."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from small_learning import (
    ACTION,
    OBSERVATION,
    SMALL,
    batches,
    episode,
    far_from_centre,
    learner,
    made_episode,
    observations,
)

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError, TrainingError
from offline_to_online.learning.algorithms import support_guard
from offline_to_online.learning.algorithms.support_guard import Config, SupportGuard
from offline_to_online.learning.learner import Normaliser
from offline_to_online.learning.replay import Batch, Replay
from offline_to_online.learning.training import train

QUICK = {"actor_learning_rate": 3e-3, "critic_learning_rate": 3e-3, "tau": 0.05}


def guard(penalty: Any = far_from_centre, **settings: Any) -> SupportGuard:
    return support_guard.make(
        Config(**{**SMALL, "cloning_updates": 0, **settings}),
        observation=OBSERVATION,
        action=ACTION,
        normaliser=Normaliser.from_episodes([episode(50, seed=9)]),
        seed=1,
        penalty=penalty,
    )


def always(nats: float) -> Any:
    return lambda observations, actions: torch.full(actions.shape[:-1], nats) + 0 * actions.sum(dim=-1)


def tempting(count: int = 40, steps: int = 20) -> Replay:
    """Actions from the middle half of each range only, and a reward that rises with both beyond all that was tried."""
    source = Replay(OBSERVATION.size, ACTION.size)
    rng = np.random.default_rng(0)
    for _ in range(count):
        share = rng.uniform(0.25, 0.75, (steps, 2))
        source.append(
            made_episode(
                observations=rng.normal(2.0, 3.0, (steps + 1, 3)),
                actions=ACTION.low + share * (ACTION.high - ACTION.low),
                rewards=share.sum(axis=1),
                terminated=False,
            )
        )
    return source


def tempted(penalty_weight: float, behaviour_weight: float = 0.0) -> tuple[Array, list[dict[str, float]]]:
    """Greedy actions as shares of their range, and the curve, of a policy that only these two hold to the data."""
    weights = {"penalty_weight": penalty_weight, "behaviour_weight": behaviour_weight}
    made = guard(**weights, gamma=0.0, average_decay=0.9, **QUICK)
    generator = torch.Generator().manual_seed(0)
    curve = train(made, tempting(), updates=400, batch_size=64, generator=generator, log_every=100)
    return (made.act(observations(200)) - ACTION.low) / (ACTION.high - ACTION.low), curve


def test_without_the_penalty_the_policy_walks_out_of_the_support() -> None:
    """With beta 0 the critics' extrapolation leads to the bounds, and the penalty that it would cost rises."""
    shares, curve = tempted(0.0)
    assert np.median(shares) > 0.9
    assert curve[-1]["penalty"] > 2.0
    assert curve[-1]["penalty"] > curve[0]["penalty"]


def test_with_the_penalty_it_stays_inside_and_the_penalty_falls() -> None:
    """The same critics and the same temptation, yet it ends at the rim of what was logged."""
    shares, curve = tempted(1.0)
    assert 0.6 < np.median(shares) < 0.8
    assert curve[-1]["penalty"] < 0.3
    assert curve[-1]["share_penalised"] <= 1.0


def test_the_pull_toward_logged_actions_holds_it_too() -> None:
    """Without the penalty, by its weight."""
    shares, _ = tempted(0.0, behaviour_weight=100.0)
    assert 0.4 < np.median(shares) < 0.7


def test_without_a_penalty_it_acts_but_refuses_to_learn() -> None:
    """A guard that guards nothing is a mistake, said before anything moves."""
    made = guard(penalty=None)
    before = made.state()
    assert made.act(observations(3)).shape == (3, 2)
    with pytest.raises(TrainingError, match="no support penalty"):
        made.update(batches(1)[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state().items())


def alike(batch: Batch, **changes: Any) -> Batch:
    return dataclasses.replace(batch, **{"terminals": torch.zeros(len(batch), 1), **changes})


def stacked(*rows: Batch) -> Batch:
    """A batch for each of several runs."""
    names = [f.name for f in dataclasses.fields(Batch)]
    return Batch(**{name: torch.stack([getattr(row, name) for row in rows]) for name in names})


def targets(made: SupportGuard, batch: Batch, rewards: tuple[float, float] = (-1.0, 1.0)) -> torch.Tensor:
    made.memory["rewards"] = torch.tensor([rewards])
    return made.target(stacked(batch))[0]


def test_the_penalty_of_the_next_action_lowers_the_target() -> None:
    """By gamma beta nats, in differences between the best and the worst reward."""
    batch = alike(batches(1)[0], rewards=torch.zeros(32, 1))
    free, dear = (targets(guard(always(nats), gamma=0.5, penalty_weight=0.2), batch) for nats in (0.0, 1.5))
    torch.testing.assert_close(free - dear, torch.full((32,), 0.5 * 0.2 * 1.5 * 2.0))


def test_a_target_is_never_beyond_what_the_rewards_could_add_up_to() -> None:
    """Not even where the critics or the penalty say so."""
    batch = alike(batches(1)[0], rewards=torch.zeros(32, 1))
    assert (targets(guard(always(1e4), gamma=0.9), batch, (-1.0, 0.5)) == -10.0).all()
    wild = guard(always(0.0), gamma=0.9)
    wild.targets.biases[-1].fill_(1e6)
    assert targets(wild, batch, (-1.0, 0.5)).tolist() == pytest.approx([5.0] * 32)
    assert (targets(guard(always(1e4), gamma=0.9), batch, (1.0, 2.0)) == 0.0).all()


def test_a_terminal_is_not_bootstrapped_and_a_time_out_is() -> None:
    """Of equal steps the terminal one is worth its reward alone."""
    batch = alike(batches(1)[0], rewards=torch.ones(32, 1), terminals=torch.ones(32, 1))
    made = guard(always(0.0))
    made.targets.biases[-1].fill_(3.0)
    assert targets(made, batch).tolist() == [1.0] * 32
    assert (targets(made, alike(batch)) > 1.5).all()


def test_every_pair_of_target_critics_has_its_turn() -> None:
    """One critic that despairs is heard in half of the updates of four, in the smaller of two."""
    made = guard(always(0.0), gamma=0.5)
    made.targets.biases[-1][0].fill_(-1e6)
    despairing = 0
    for update in range(6):
        made.restore({**made.state(), "memory.updates": torch.tensor(update)})
        despairing += bool((targets(made, alike(batches(1)[0], rewards=torch.zeros(32, 1))) == -2.0).all())
    assert despairing == 3


def test_the_policy_moves_at_every_second_update() -> None:
    """The losses tell which it was."""
    made = guard()
    told = [set(made.update(batch)) for batch in batches(4)]
    assert [("actor_loss" in names) for names in told] == [True, False, True, False]
    assert all({"critic_loss", "value"} <= names for names in told)


def test_the_pull_toward_the_data_is_toward_its_better_actions() -> None:
    """Of two logged actions in one state, the rarer one that is worth more; with temperature 0, the more frequent."""
    rng, source = np.random.default_rng(0), Replay(OBSERVATION.size, ACTION.size, gamma=0.0)
    for _ in range(60):
        good = rng.random(20) < 0.3
        actions = ACTION.low + np.where(good, 0.7, 0.3)[:, None] * (ACTION.high - ACTION.low)
        source.append(made_episode(observations=np.zeros((21, 3)), actions=actions, rewards=good, terminated=False))
    shares = {}
    for temperature in (0.0, 6.0):
        made = guard(
            always(0.0), gamma=0.0, behaviour_weight=100.0, average_decay=0.9, temperature=temperature, **QUICK
        )
        train(made, source, updates=400, batch_size=64, generator=torch.Generator().manual_seed(0))
        act = made.act(np.zeros((1, 3), dtype=np.float32))
        shares[temperature] = ((act - ACTION.low) / (ACTION.high - ACTION.low)).mean()
    assert shares[0.0] < 0.46 < 0.5 < shares[6.0]


def test_what_turned_out_well_attracts_before_the_values_know() -> None:
    """Target critics that stand still tell nothing of the second step's reward; what the episode earned does."""
    rng, source = np.random.default_rng(0), Replay(OBSERVATION.size, ACTION.size, gamma=0.9)
    for _ in range(600):
        good = rng.random() < 0.3
        share = np.array([[0.7 if good else 0.3], [rng.random()]])
        actions = ACTION.low + share * (ACTION.high - ACTION.low)
        seen = np.array([np.zeros(3), np.ones(3), np.ones(3)])
        source.append(made_episode(observations=seen, actions=actions, rewards=[0.0, float(good)], terminated=True))
    settings = {**QUICK, "tau": 1e-6}
    made = guard(always(0.0), gamma=0.9, behaviour_weight=100.0, average_decay=0.9, temperature=6.0, **settings)
    train(made, source, updates=400, batch_size=64, generator=torch.Generator().manual_seed(0))
    act = made.act(np.zeros((1, 3), dtype=np.float32))
    assert ((act - ACTION.low) / (ACTION.high - ACTION.low)).mean() > 0.5


def test_a_smaller_behaviour_weight_lets_the_policy_go() -> None:
    """What the switch lowers is the configured weight, and a factor of 1 is that weight."""
    acted = {}
    for factor in (None, 1.0, 0.0):
        made = guard(always(0.0), gamma=0.0, behaviour_weight=30.0, average_decay=0.9, **QUICK)
        if factor is not None:
            made.scale_behaviour(factor)
        train(made, tempting(), updates=200, batch_size=64, generator=torch.Generator().manual_seed(0))
        acted[factor] = (made.act(observations()) - ACTION.low) / (ACTION.high - ACTION.low)
    np.testing.assert_array_equal(acted[None], acted[1.0])
    assert np.median(acted[0.0]) > np.median(acted[1.0]) + 0.1


def several(configs: list[Config], seeds: list[int]) -> SupportGuard:
    return SupportGuard(
        configs,
        observation=OBSERVATION,
        action=ACTION,
        normaliser=Normaliser.from_episodes([episode(50, seed=9)]),
        seeds=seeds,
        penalty=far_from_centre,
    )


def test_several_seeds_and_settings_in_one_batch_are_what_each_is_alone() -> None:
    """Every run with a seed, a penalty weight and batches of its own."""
    configs = [Config(**SMALL, cloning_updates=4, penalty_weight=weight) for weight in (0.1, 0.5, 0.0)]
    together = several(configs, [1, 2, 3])
    alone = [several([config], [seed]) for config, seed in zip(configs, (1, 2, 3), strict=True)]
    drawn = [batches(20, seed=seed) for seed in (4, 5, 6)]
    for turn in zip(*drawn, strict=True):
        told = together.update(stacked(*turn))
        each = [made.update(batch) for made, batch in zip(alone, turn, strict=True)]
        assert told["critic_loss"] == pytest.approx(np.mean([one["critic_loss"] for one in each]), rel=1e-4)
    for name in ("actor", "critics", "targets", "average"):
        for mine, *theirs in zip(
            getattr(together, name).parameters(), *(getattr(one, name).parameters() for one in alone), strict=True
        ):
            torch.testing.assert_close(mine, torch.cat(theirs), rtol=1e-3, atol=1e-5)


def test_runs_that_differ_in_more_than_weights_are_refused() -> None:
    """One batch has one size and one discount."""
    for configs in ([Config(**SMALL), Config(**SMALL, gamma=0.5)], [Config(**SMALL)]):
        with pytest.raises(ParameterError, match="2 runs in one batch"):
            several(configs, [1, 2])


def test_a_step_tells_on_the_device_what_an_update_raises() -> None:
    """Nothing has moved, and the next sound batch is learned as if nothing had been."""
    made, sound = guard(), guard()
    broken = alike(batches(1)[0], rewards=torch.full((32, 1), math.nan))
    assert float(made.step(broken)["sound"]) == 0.0
    assert all(torch.equal(tensor, sound.state()[name]) for name, tensor in made.state().items())
    assert float(sound.step(batches(1)[0])["sound"]) == 1.0


def test_rewards_over_several_steps_are_bootstrapped_after_them() -> None:
    """Gamma to the number of steps; and a replay that adds up rewards is what the Config asks for."""
    batch = alike(batches(1)[0], rewards=torch.zeros(32, 1))
    made = guard(always(0.0), gamma=0.5)
    made.targets.biases[-1].fill_(1.0)
    one, three = (targets(made, alike(batch, intervals=torch.full((32, 1), n))) for n in (1.0, 3.0))
    torch.testing.assert_close(three, one * 0.25)


def test_a_sum_of_rewards_is_not_taken_for_a_reward() -> None:
    """What the penalty and the bounds are measured by stays a reward of one step, over however many it is summed."""
    made = guard(gamma=0.5)
    batch = batches(1)[0]
    made.step(alike(batch, rewards=torch.full((32, 1), -1.75), intervals=torch.full((32, 1), 3.0)))
    assert made.memory["rewards"].tolist() == [[-1.0, -1.0]]


def test_the_average_counts_the_updates_of_the_policy_alone() -> None:
    """After updates of the values alone it begins anew, and so follows at once."""
    made = guard()
    made.scale_learning_rates(actor=0.0)
    for batch in batches(10):
        made.update(batch)
    assert int(made.memory["policy_updates"]) == 0
    assert int(made.memory["updates"]) == 10
    made.scale_learning_rates()
    for batch in batches(4):
        made.update(batch)
    assert int(made.memory["policy_updates"]) == 2


def test_the_critics_disagree_more_where_nothing_was_logged() -> None:
    """And a saved state says the same as the learner that it is of."""
    made = guard(gamma=0.0, **QUICK)
    train(made, tempting(), updates=300, batch_size=64, generator=torch.Generator().manual_seed(0))
    states = observations(200)
    middle, rim = (np.repeat((ACTION.low + s * (ACTION.high - ACTION.low))[None], 200, axis=0) for s in (0.5, 0.0))
    near, far = made.disagreement(states, middle), made.disagreement(states, rim)
    assert near.shape == (200,)
    assert near.dtype == np.float32
    assert far.mean() > 1.5 * near.mean()
    saved = support_guard.disagreement(made._config, made.state(), observation=OBSERVATION, action=ACTION)
    np.testing.assert_array_equal(saved(states, rim), far)


@pytest.mark.parametrize("setting", [{"critics": 1}, {"gamma": 1.0}, {"penalty_weight": -1.0}, {"actor_every": 0}])
def test_settings_that_make_no_sense_are_refused(setting: dict[str, float]) -> None:
    """One critic has no smaller of two; without discounting the rewards bound nothing."""
    with pytest.raises(ParameterError, match=next(iter(setting))):
        Config(**setting)  # type: ignore[arg-type]


def test_it_is_found_by_its_name() -> None:
    """The directory is the registry."""
    assert isinstance(learner("support_guard"), SupportGuard)


def test_at_first_the_policy_only_imitates() -> None:
    """Whatever the critics and the penalty say; the critics learn meanwhile."""
    calm, alarmed = (guard(always(nats), cloning_updates=5) for nats in (0.0, 50.0))
    for batch in batches(5):
        told = [made.update(batch) for made in (calm, alarmed)]
    assert told[1]["critic_loss"] != told[0]["critic_loss"]
    np.testing.assert_array_equal(calm.act(observations()), alarmed.act(observations()))
    for made in (calm, alarmed):
        train(made, tempting(), updates=4, batch_size=32, generator=torch.Generator().manual_seed(0))
    assert not np.array_equal(calm.act(observations()), alarmed.act(observations()))
