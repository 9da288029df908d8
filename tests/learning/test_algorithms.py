"""The contract of every algorithm in the folder, and what is particular to each."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_learning import (
    ACTION,
    OBSERVATION,
    SMALL,
    assert_same,
    batches,
    episode,
    learner,
    made_episode,
    observations,
    updated,
    wanted_by,
)

from offline_to_online import plugins
from offline_to_online.dataset.spec import ActionSchema, Dimension, ObservationSchema
from offline_to_online.errors import ParameterError, PolicyError, TrainingError
from offline_to_online.learning.learner import Normaliser, load_state, save_state
from offline_to_online.learning.policy import Policy
from offline_to_online.learning.replay import Batch, Replay
from offline_to_online.learning.training import train

ALGORITHMS = plugins.available("algorithms")
every = pytest.mark.parametrize("name", ALGORITHMS)


@every
def test_says_what_it_is(name: str) -> None:
    """A frozen config with defaults, whether it needs the support audit, and one sentence on pessimism."""
    module = plugins.module_for("algorithms", name)
    config = module.Config()
    assert dataclasses.is_dataclass(config)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.updates = 1
    assert isinstance(module.NEEDS_SUPPORT, bool)
    assert len(module.PESSIMISM) > 20
    assert {"updates", "batch_size"} <= {f.name for f in dataclasses.fields(config)}


@every
def test_documents_every_setting(name: str) -> None:
    """Each field stands in the class's docstring."""
    config = plugins.module_for("algorithms", name).Config
    missing = [f.name for f in dataclasses.fields(config) if f"{f.name}:" not in config.__doc__]
    assert not missing


@every
def test_seeds_decide_everything(name: str, tmp_path: Path) -> None:
    """Two builds and 20 updates give the same bytes, whatever the global random state and the folder."""
    for number, folder in enumerate(("here", "elsewhere/deeper")):
        torch.manual_seed(number)
        made = updated(name)
        made.export(tmp_path / folder / "policy.safetensors")
        save_state(tmp_path / folder / "learner.safetensors", made.state())
    for file in ("policy.safetensors", "learner.safetensors"):
        here, elsewhere = (tmp_path / folder / file for folder in ("here", "elsewhere/deeper"))
        assert here.read_bytes() == elsewhere.read_bytes()
        assert str(tmp_path).encode() not in here.read_bytes()


@every
def test_another_seed_is_another_network(name: str) -> None:
    """The seed is not ignored."""
    assert not np.array_equal(learner(name, seed=1).act(observations()), learner(name, seed=2).act(observations()))


@every
def test_the_global_random_state_stays_as_it_is(name: str) -> None:
    """Neither building nor updating draws from it."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    updated(name, 3)
    assert torch.equal(before, torch.get_rng_state())


@every
def test_updates_move_the_policy(name: str) -> None:
    """Learning does something, and tells finite losses."""
    made = learner(name)
    before = made.act(observations())
    losses = made.update(batches(1)[0])
    assert losses
    assert all(math.isfinite(loss) for loss in losses.values())
    assert not np.array_equal(before, made.act(observations()))


@every
def test_a_restored_learner_continues_bit_for_bit(name: str, tmp_path: Path) -> None:
    """Through a file, into a learner of another seed and another normaliser."""
    whole = updated(name, 10)
    save_state(tmp_path / "learner.safetensors", whole.state())
    module = plugins.module_for("algorithms", name)
    again = module.make(
        module.Config(**SMALL),
        observation=OBSERVATION,
        action=ACTION,
        normaliser=Normaliser.identity(OBSERVATION.size),
        seed=77,
        **wanted_by(module),
    )
    again.restore(load_state(tmp_path / "learner.safetensors"))
    assert_same(whole, again)
    for batch in batches(10, seed=8):
        whole.update(batch)
        again.update(batch)
    assert_same(whole, again)
    np.testing.assert_array_equal(whole.act(observations()), again.act(observations()))


@every
def test_a_state_is_a_copy(name: str) -> None:
    """A champion's state does not change while a candidate learns."""
    made = updated(name, 2)
    state = made.state()
    kept = {key: tensor.clone() for key, tensor in state.items()}
    made.update(batches(1, seed=4)[0])
    assert all(torch.equal(state[key], kept[key]) for key in kept)
    made.restore(state)
    made.update(batches(1, seed=4)[0])
    assert all(torch.equal(state[key], kept[key]) for key in kept)


@every
def test_a_state_of_another_size_is_refused_whole(name: str) -> None:
    """The message names a tensor, and nothing was changed."""
    made = updated(name, 2)
    before = made.state()
    for state in (learner(name, hidden_units=(16, 9)).state(), {}, {**before, "more": torch.zeros(1)}):
        with pytest.raises(PolicyError, match="does not fit"):
            made.restore(state)
    now = made.state()
    assert all(torch.equal(now[key], before[key]) for key in before)


@every
def test_the_exported_policy_acts_as_the_learner(name: str, tmp_path: Path) -> None:
    """To the last bit, for one observation and for many, scaling and bounds included."""
    made = updated(name)
    made.export(tmp_path / "policy.safetensors")
    policy = Policy.load(tmp_path / "policy.safetensors")
    policy.check_fits(OBSERVATION, ACTION)
    for rows in (1, 2, 300):
        np.testing.assert_array_equal(policy.act(observations(rows)), made.act(observations(rows)))
        drawn = [one.explore(observations(rows), np.random.default_rng(6)) for one in (policy, made)]
        np.testing.assert_array_equal(*drawn)


@every
def test_only_plain_tensors_are_in_its_files(name: str, tmp_path: Path) -> None:
    """An 8-byte length, a JSON header and numbers, without what a pickle or a zip archive begins with."""
    made = updated(name, 1)
    made.export(tmp_path / "policy.safetensors")
    content = (tmp_path / "policy.safetensors").read_bytes()
    assert content[8:9] == b"{"
    assert b"PK\x03\x04" not in content[:4]
    assert [path.name for path in tmp_path.iterdir()] == ["policy.safetensors"]


@every
def test_exploring_differs_from_acting_by_noise_inside_the_bounds(name: str) -> None:
    """Centred on the greedy action, with some deviation in every dimension."""
    made = learner(name)
    one = np.repeat(observations(1), 4000, axis=0)
    explored, greedy = made.explore(one, np.random.default_rng(0)), made.act(one)
    assert ((explored >= ACTION.low) & (explored <= ACTION.high)).all()
    spread = (ACTION.high - ACTION.low) / 2
    assert ((explored - greedy).std(axis=0) > 0.02 * spread).all()
    np.testing.assert_allclose((explored - greedy).mean(axis=0) / spread, 0.0, atol=0.05)


@every
@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Batch)])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_non_finite_batch_is_refused_unapplied(name: str, field: str, value: float) -> None:
    """Every field counts, also those that the algorithm does not read; parameters, moments and targets stay."""
    made, sound = updated(name, 3), updated(name, 3)
    batch = batches(1, seed=5)[0]
    getattr(batch, field)[3, 0] = value
    with pytest.raises(TrainingError, match=rf"{field}.*update 4"):
        made.update(batch)
    assert_same(made, sound)


@every
def test_an_exploding_update_is_refused_unapplied(name: str) -> None:
    """Finite numbers whose squares are not; the next sound batch is learned as if nothing had been."""
    made, sound = updated(name, 3), updated(name, 3)
    batch = batches(1, seed=5)[0]
    for huge in (dataclasses.replace(batch, rewards=batch.rewards * 1e25, actions=batch.actions * 1e25),):
        with pytest.raises(TrainingError, match="gradient"):
            made.update(huge)
    assert_same(made, sound)
    made.update(batch)
    sound.update(batch)
    assert_same(made, sound)


@every
def test_a_huge_reward_is_refused_unapplied_or_does_no_harm(name: str) -> None:
    """Refused with the random state as it was, or, by an algorithm that reads no rewards, learned from."""
    made, sound = updated(name, 3), updated(name, 3)
    batch = batches(1, seed=5)[0]
    huge = dataclasses.replace(batch, rewards=batch.rewards * 1e30)
    try:
        made.update(huge)
    except TrainingError:
        assert_same(made, sound)
    assert all(tensor.isfinite().all() for tensor in made.state().values() if tensor.is_floating_point())


@every
def test_a_rate_of_zero_freezes_the_policy_and_one_unfreezes_it(name: str) -> None:
    """The warm-up of an online run."""
    made = updated(name, 3)
    before = made.act(observations())
    made.scale_learning_rates(actor=0.0)
    made.update(batches(1)[0])
    np.testing.assert_array_equal(before, made.act(observations()))
    made.scale_learning_rates()
    made.update(batches(1)[0])
    assert not np.array_equal(before, made.act(observations()))


@every
def test_what_follows_counts_by_how_far_off_it_is(name: str) -> None:
    """A batch of longer intervals is another target, unless nothing is bootstrapped; cloning reads neither."""
    batch = dataclasses.replace(batches(1)[0], terminals=torch.zeros(32, 1))
    longer = dataclasses.replace(batch, intervals=torch.full((32, 1), 3.0))
    ended = [dataclasses.replace(each, terminals=torch.ones(32, 1)) for each in (batch, longer)]
    same = [torch.equal(*(value_weights(name, each) for each in pair)) for pair in ((batch, longer), ended)]
    assert same == [name == "bc", True]


def value_weights(name: str, batch: Batch) -> torch.Tensor:
    """All that a new learner learned of values from one batch."""
    made = updated(name, 2)
    made.update(batch)
    state = made.state()
    return state["optimiser.critic.exp_avg" if name != "bc" else "optimiser.actor.exp_avg"]


@every
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: nothing to agree with the CPU")
def test_cpu_and_gpu_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the same random numbers, and within what single precision leaves; a state goes from one to the other."""
    draw_on_the_cpu(monkeypatch)
    made = [learner(name), learner(name, device="cuda")]
    for batch in batches(5):
        there = dataclasses.replace(batch, **{f.name: getattr(batch, f.name).cuda() for f in dataclasses.fields(Batch)})
        losses = [each.update(given) for each, given in zip(made, (batch, there), strict=True)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3, abs=1e-4)
    np.testing.assert_allclose(made[0].act(observations()), made[1].act(observations()), rtol=1e-3, atol=0.5)
    made[0].restore(made[1].state())
    assert_same(*made)


def draw_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every device's noise be the CPU's, from the global generator that updates put their own state into."""
    randn, uniform = torch.randn, torch.Tensor.uniform_

    def normal(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        return torch.normal(torch.zeros(shape, dtype=dtype), torch.ones(shape, dtype=dtype)).to(device)

    def uniform_(self: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return self.copy_(uniform(torch.empty(self.shape), low, high))

    monkeypatch.setattr(torch.distributions.normal, "_standard_normal", normal)
    monkeypatch.setattr(torch, "randn", lambda shape, device=None: randn(shape).to(device))
    monkeypatch.setattr(torch.Tensor, "uniform_", uniform_)


@every
def test_scaling_counts_from_the_configured_rate(name: str) -> None:
    """Not from the last one; and the rate is part of the state."""
    twice, once = learner(name), learner(name)
    twice.scale_learning_rates(actor=0.5, critic=0.5)
    twice.scale_learning_rates(actor=0.1, critic=0.1)
    once.scale_learning_rates(actor=0.1, critic=0.1)
    assert_same(twice, once)
    plain = learner(name)
    plain.restore(once.state())
    for made in (plain, once):
        made.update(batches(1)[0])
    assert_same(plain, once)


@every
@pytest.mark.parametrize("factor", [-1.0, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(name: str, factor: float) -> None:
    """Said at once, not at the next update."""
    with pytest.raises(TrainingError, match="learning rate"):
        learner(name).scale_learning_rates(actor=factor)


@every
def test_settings_out_of_range_are_refused_by_name(name: str) -> None:
    """With the range, and where to mend it."""
    config = plugins.module_for("algorithms", name).Config
    for setting in ({"batch_size": 0}, {"updates": -1}, {"hidden_units": [0]}):
        with pytest.raises(ParameterError, match=next(iter(setting))):
            config(**setting)


@every
def test_hidden_units_may_come_as_yaml_gives_them(name: str) -> None:
    """A list becomes the tuple it stands for, so that equal settings are equal."""
    config = plugins.module_for("algorithms", name).Config
    assert config(hidden_units=[8, 8]) == config(hidden_units=(8, 8))


def test_cloning_explores_by_the_configured_share_of_the_half_range() -> None:
    """Set by a person, since a deterministic network knows none."""
    made = learner("bc", exploration_std=0.05)
    one = np.repeat(observations(1), 8000, axis=0)
    noise = made.explore(one, np.random.default_rng(0)) - made.act(one)
    np.testing.assert_allclose(noise.std(axis=0), 0.05 * (ACTION.high - ACTION.low) / 2, rtol=0.05)


def test_iql_explores_by_the_deviation_it_learned() -> None:
    """It shrinks where the logged actions agree."""
    agreed = made_episode(
        observations=np.zeros((201, 3)),
        actions=np.tile([0.5, 260.0], (200, 1)),
        rewards=np.zeros(200),
        terminated=False,
    )
    source = Replay(3, 2)
    source.append(agreed)
    made = learner("iql", actor_learning_rate=3e-2)
    one = np.repeat(observations(1), 500, axis=0)
    before = made.explore(one, np.random.default_rng(0)).std(axis=0)
    train(made, source, updates=60, batch_size=32, generator=torch.Generator().manual_seed(0))
    assert (made.explore(one, np.random.default_rng(0)).std(axis=0) < 0.7 * before).all()


@pytest.mark.parametrize("expectile", [0.0, 1.0, math.nan])
def test_iql_refuses_an_expectile_that_is_none(expectile: float) -> None:
    """In (0, 1)."""
    with pytest.raises(ParameterError, match="expectile"):
        plugins.module_for("algorithms", "iql").Config(expectile=expectile)


CORRIDOR = ActionSchema(dimensions=(Dimension(name="turn", unit="rad", low=-2.0, high=2.0),))
POSITION = ObservationSchema(dimensions=(Dimension(name="step", unit="", low=-5.0, high=5.0),))


def corridor(rng: np.random.Generator) -> object:
    """Two steps: the first turn decides where one stands, and only the second step pays, if one stands right.

    Three in ten turn right. What the majority does is wrong, and what is right shows one step later.
    """
    right = rng.random() < 0.3
    turn = (1.2 if right else -1.2) + 0.1 * rng.normal()
    stands = 1.0 if right else -1.0
    return made_episode(
        observations=np.array([[0.0], [stands], [stands]]),
        actions=np.array([[turn], [0.1 * rng.normal()]]),
        rewards=np.array([0.0, float(right)]),
        terminated=True,
    )


def test_iql_stitches_what_cloning_cannot() -> None:
    """On the corridor, cloning follows the majority; IQL learns from a delayed reward which turn was right."""
    rng = np.random.default_rng(0)
    episodes = [corridor(rng) for _ in range(200)]
    source = Replay(1, 1)
    source.extend(episodes)  # type: ignore[arg-type]
    turns = {}
    quick = {"actor_learning_rate": 3e-3, "critic_learning_rate": 3e-3, "tau": 0.05}
    for name in ("bc", "iql"):
        module = plugins.module_for("algorithms", name)
        settings = {"learning_rate": 3e-3} if name == "bc" else quick
        made = module.make(
            module.Config(hidden_units=(32, 32), **settings),
            observation=POSITION,
            action=CORRIDOR,
            normaliser=Normaliser.from_episodes(episodes),  # type: ignore[arg-type]
            seed=0,
        )
        train(made, source, updates=500, batch_size=64, generator=torch.Generator().manual_seed(0))
        turns[name] = float(made.act(np.zeros((1, 1), dtype=np.float32))[0, 0])
    assert turns["bc"] < 0.0 < 0.5 < turns["iql"]


def test_a_terminal_is_not_bootstrapped_and_a_time_out_is() -> None:
    """With a reward of 1 a step, a step is worth 1 where the task ends, and 1 / (1 - gamma) where only time ran out."""
    errors = {}
    for terminated in (True, False):
        one = episode(1, terminated=terminated)
        one = dataclasses.replace(one, observations=np.zeros((2, 3), np.float32), rewards=np.ones(1, np.float32))
        source = Replay(3, 2)
        source.append(one)
        made = learner("iql", gamma=0.5, tau=0.5, expectile=0.5, critic_learning_rate=3e-3)
        train(made, source, updates=400, batch_size=8, generator=torch.Generator().manual_seed(0))
        value = made._impl.modules.value_func(made._normaliser.apply(torch.zeros(1, 3)))  # type: ignore[attr-defined]
        errors[terminated] = float(value.detach()) - (1.0 if terminated else 2.0)
    assert abs(errors[True]) < 0.1
    assert abs(errors[False]) < 0.1
