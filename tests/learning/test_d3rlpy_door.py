"""The door to d3rlpy: it comes in quietly, and its update rules come out unchanged."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_learning import ACTION, OBSERVATION, SMALL, batches, episode, learner, observations, replay
from torch import Tensor, nn

from offline_to_online.errors import TrainingError
from offline_to_online.learning.algorithms import _d3rlpy, prdc
from offline_to_online.learning.flat_adam import FlatAdam
from offline_to_online.learning.learner import Learner, Normaliser
from offline_to_online.learning.replay import Batch, Replay

QUIET = """
import structlog, torch
import offline_to_online.learning.algorithms.iql, sys
assert "d3rlpy" not in sys.modules, "imported before it is used"
before = structlog.get_config()
from offline_to_online.learning.algorithms._d3rlpy import d3rlpy
d3rlpy()
assert not structlog.is_configured()
assert torch.get_float32_matmul_precision() == "highest"
"""
CONFIGURED = """
import structlog
structlog.configure(processors=[structlog.processors.JSONRenderer()])
before = structlog.get_config()
from offline_to_online.learning.algorithms._d3rlpy import d3rlpy
d3rlpy()
assert structlog.get_config() == before
"""


@pytest.mark.parametrize("program", [QUIET, CONFIGURED])
def test_d3rlpy_comes_in_without_a_trace(program: str, tmp_path: Path) -> None:
    """No banner, no changed logging of others, no folder, and not before it is used."""
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={"PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""
    assert list(tmp_path.iterdir()) == []


ALGORITHMS = ("bc", "iql", "cql", "cal_ql", "td3_bc", "awac", "rebrac", "prdc")
VALUES = {"gamma": 0.98}
RATES = {"actor_learning_rate": 3e-4, "critic_learning_rate": 3e-4}
RAW: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "bc": ("BC", {"learning_rate": 1e-3}),
    "iql": ("IQL", {**VALUES, **RATES, "expectile": 0.8, "weight_temp": 3.0}),
    "cql": ("CQL", VALUES),
    "cal_ql": ("CalQL", VALUES),
    "td3_bc": ("TD3PlusBC", VALUES),
    "awac": ("AWAC", VALUES),
    "rebrac": ("ReBRAC", VALUES),
    "prdc": ("PRDC", VALUES),
}
"""What d3rlpy calls each, and where our defaults are not its own."""


def encoders(name: str) -> dict[str, Any]:
    """Small networks for every one that d3rlpy's algorithm has, as our algorithm file wants them."""
    make = _d3rlpy.d3rlpy().models.VectorEncoderFactory
    plain = make(hidden_units=[16, 8])
    if name == "bc":
        return {"encoder_factory": plain}
    critics = make(hidden_units=[16, 8], use_layer_norm=name == "rebrac")
    made = {"actor_encoder_factory": plain, "critic_encoder_factory": critics}
    return {**made, "value_encoder_factory": plain} if name == "iql" else made


class Raw:
    """d3rlpy's own algorithm with its own optimisers, as anybody would build it, and its random numbers."""

    def __init__(self, name: str, seed: int, **changes: Any) -> None:
        library_name, settings = RAW[name]
        config = getattr(_d3rlpy.d3rlpy().algos, f"{library_name}Config")
        self.algorithm = config(**{**encoders(name), **settings, **changes}).create(device="cpu:0")
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.algorithm.create_impl((OBSERVATION.size,), ACTION.size)
            self._random = torch.get_rng_state()

    def update(self, batch: Any, step: int) -> dict[str, float]:
        """One update, whose random numbers follow those of the initial weights and of the updates before."""
        with torch.random.fork_rng():
            torch.set_rng_state(self._random)
            losses: dict[str, float] = self.algorithm.impl.update(batch, step)
            self._random = torch.get_rng_state()
        return losses


def raw_data(normaliser: Normaliser, beta: float = 2.0) -> Any:
    """All logged pairs of the small replay, as d3rlpy's ``fit`` of PRDC puts them together."""
    pairs = raw_batch(replay().gather(torch.arange(len(replay()))), normaliser)
    return np.concatenate([beta * pairs.observations.numpy(), pairs.actions.numpy()], axis=1)


def raw_batch(batch: Batch, normaliser: Normaliser) -> Any:
    """The same numbers as d3rlpy wants them, scaled by formulas of this test's own."""
    low, high = torch.from_numpy(ACTION.low), torch.from_numpy(ACTION.high)
    return _d3rlpy.d3rlpy().TorchMiniBatch(
        observations=(batch.observations - normaliser.mean) / normaliser.std,
        actions=2.0 * (batch.actions - low) / (high - low) - 1.0,
        rewards=batch.rewards,
        next_observations=(batch.next_observations - normaliser.mean) / normaliser.std,
        next_actions=2.0 * (batch.next_actions - low) / (high - low) - 1.0,
        returns_to_go=batch.returns_to_go,
        terminals=batch.terminals,
        intervals=batch.intervals,
        device="cpu:0",
    )


def assert_learn_alike(ours: Learner, raw: Raw, given: Sequence[Batch]) -> None:
    """The same losses at every update and the same networks after them, up to rounding."""
    normaliser = ours._normaliser  # type: ignore[attr-defined]
    if hasattr(raw.algorithm.impl, "_nbsr"):
        raw.algorithm.impl._nbsr.fit(raw_data(normaliser))
    for step, batch in enumerate(given):
        losses = ours.update(batch)
        assert losses == pytest.approx(raw.update(raw_batch(batch, normaliser), step), rel=1e-4, abs=1e-5)
    theirs = raw.algorithm.impl.modules.get_torch_modules()
    for role, network in ours._networks().items():  # type: ignore[attr-defined]
        for mine, other in zip(network.parameters(), theirs[role].parameters(), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_learns_as_d3rlpy_itself(name: str) -> None:
    """The same batches give the same losses and networks as d3rlpy's own update, up to rounding."""
    assert_learn_alike(learner(name, seed=4), Raw(name, 4), batches(20))


@pytest.mark.parametrize("name", ["iql", "rebrac", "cal_ql"])
def test_learns_as_d3rlpy_itself_over_several_steps(name: str) -> None:
    """What lies n steps on counts gamma ** n, in those of fewer steps at an episode's end too."""
    source = Replay(OBSERVATION.size, ACTION.size, n_step=3, gamma=0.98)
    source.extend(episode(5, seed=i, terminated=i % 2 == 0) for i in range(6))
    generator = torch.Generator().manual_seed(0)
    given = [source.sample(32, generator) for _ in range(5)]
    assert {float(length) for batch in given for length in batch.intervals} == {1.0, 2.0, 3.0}
    assert_learn_alike(learner(name, seed=4), Raw(name, 4), given)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("cql", {"conservative_weight": 1.5}),
        ("cal_ql", {"conservative_weight": 1.5}),
        ("rebrac", {"actor_beta": 0.0003, "critic_beta": 0.003}),
    ],
)
def test_a_behaviour_factor_is_a_smaller_weight_of_d3rlpys_own(name: str, raw: Mapping[str, float]) -> None:
    """Three tenths of each default."""
    ours = learner(name, seed=4)
    ours.scale_behaviour(0.3)
    assert_learn_alike(ours, Raw(name, 4, **raw), batches(6))


@pytest.mark.parametrize("name", ["td3_bc", "prdc"])
def test_a_behaviour_factor_moves_cloning_against_the_value(name: str) -> None:
    """A factor of 0.25 descends a quarter of what four times alpha does."""
    scaled, other = learner(name, alpha=2.5), learner(name, alpha=10.0)
    scaled.scale_behaviour(0.25)
    batch = batches(1)[0]
    assert 4 * scaled.update(batch)["actor_loss"] == pytest.approx(other.update(batch)["actor_loss"], rel=1e-4)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_starts_from_the_weights_that_d3rlpy_would_draw(name: str) -> None:
    """And acts as its ``predict`` does, after our scaling."""
    ours, raw = learner(name, seed=4), Raw(name, 4)
    scaled = ours._normaliser.apply(torch.from_numpy(observations())).numpy()  # type: ignore[attr-defined]
    expected = ACTION.low + (raw.algorithm.predict(scaled) + 1.0) / 2.0 * (ACTION.high - ACTION.low)
    np.testing.assert_allclose(ours.act(observations()), expected, rtol=1e-5, atol=1e-4)


def policy_weights(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The weights that the optimiser moves, or with "average" those that act, by their names in the network."""
    role = "imitator" if name == "bc" else "average" if name == "average" else "policy"
    return {key.removeprefix(f"network.{role}."): v for key, v in state.items() if key.startswith(f"network.{role}.")}


@pytest.mark.parametrize("name", ["bc", "iql", "cql", "awac"])
def test_acts_with_the_moving_average_of_its_weights(name: str) -> None:
    """Averaged by a formula of this test's own; the trained network itself is somewhere else."""
    made = learner(name, average_decay=0.9)
    expected = policy_weights(made.state(), name)
    for number, batch in enumerate(batches(120), start=1):
        made.update(batch)
        past, last = min(0.9, number / (10 + number)), policy_weights(made.state(), name)
        expected = {key: past * value + (1 - past) * last[key] for key, value in expected.items()}
    averaged = policy_weights(made.state(), "average")
    assert averaged.keys() == expected.keys() != set()
    for key, value in expected.items():
        torch.testing.assert_close(averaged[key], value, rtol=1e-4, atol=1e-6)
    acted = made.act(observations())
    made.restore({**made.state(), **{f"network.average.{key}": value for key, value in last.items()}})
    assert not np.array_equal(made.act(observations()), acted)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_without_a_past_it_acts_with_the_last_weights(name: str) -> None:
    """A decay of 0 is the network that the optimiser moves."""
    made = learner(name, average_decay=0.0)
    for batch in batches(5):
        made.update(batch)
    averaged, last = policy_weights(made.state(), "average"), policy_weights(made.state(), name)
    assert averaged.keys() == last.keys() != set()
    assert all(torch.equal(averaged[key], value) for key, value in last.items())


BROKEN = [
    ("iql", lambda out: out._replace(logstd=out.logstd - 60.0), "gradient of norm"),
    ("iql", lambda out: out._replace(logstd=out.logstd * math.nan), "the policy's output"),
    ("awac", lambda out: out._replace(logstd=out.logstd - 60.0), "gradient of norm"),
    ("cql", lambda out: out._replace(mu=out.mu * math.nan), "the policy's output"),
    ("cal_ql", lambda out: out._replace(mu=out.mu * math.nan), "the policy's output"),
    ("td3_bc", lambda out: out._replace(squashed_mu=out.squashed_mu * math.nan), "gradient of norm"),
    ("rebrac", lambda out: out._replace(squashed_mu=out.squashed_mu * math.nan), "gradient of norm"),
    ("prdc", lambda out: out._replace(squashed_mu=out.squashed_mu * math.nan), "the policy's output"),
]


@pytest.mark.parametrize(("name", "breaking", "said"), BROKEN)
def test_a_policy_that_breaks_after_the_critics_moved_takes_them_back(name: str, breaking: Any, said: str) -> None:
    """Critics step first, and alpha before them; if the policy is not finite then, all is as it was before."""
    made, sound = learner(name), learner(name)
    for each in (made, sound):
        for batch in batches(2):
            each.update(batch)
    before, impl = made.state(), made._impl  # type: ignore[attr-defined]
    stepped, update_actor = [], impl.update_actor

    def broken_actor(batch: Any) -> Any:
        forward = impl.modules.policy.forward
        stepped.append(not torch.equal(made.state()["optimiser.critic.step"], before["optimiser.critic.step"]))
        impl.modules.policy.forward = lambda x: breaking(forward(x))
        try:
            return update_actor(batch)
        finally:
            impl.modules.policy.forward = forward

    impl.update_actor = broken_actor
    with pytest.raises(TrainingError, match=rf"{said}.* \(update 3\)"):
        made.update(batches(1, seed=2)[0])
    impl.update_actor = update_actor
    assert stepped == [True]
    after = made.state()
    assert [key for key in before if not torch.equal(after[key], before[key])] == []
    for each in (made, sound):
        each.update(batches(1, seed=3)[0])
    assert all(torch.equal(tensor, sound.state()[key]) for key, tensor in made.state().items())


@pytest.mark.parametrize("name", ["cql", "cal_ql"])
def test_a_temperature_that_moved_before_the_policy_broke_is_taken_back(name: str) -> None:
    """It steps within the policy's loss, whose gradient may still be refused."""
    made = learner(name)
    made.update(batches(1)[0])
    before, actor = made.state(), made._optimisers["actor"]  # type: ignore[attr-defined]
    actor._gradient[0], actor.zero_grad = math.nan, lambda: None
    with pytest.raises(TrainingError, match="gradient of norm"):
        made.update(batches(1, seed=2)[0])
    after = made.state()
    assert [key for key in before if not torch.equal(after[key], before[key])] == []


def test_two_learners_are_held_to_the_data_of_each() -> None:
    """Of PRDC, which d3rlpy gives one search for all; and a restored normaliser moves the pairs with it."""
    alone, beside = learner("prdc"), learner("prdc")
    other = Replay(OBSERVATION.size, ACTION.size)
    other.append(episode(5, seed=77))
    apart = prdc.make(
        prdc.Config(**SMALL), observation=OBSERVATION, action=ACTION,
        normaliser=Normaliser.identity(OBSERVATION.size), seed=1, data=other,
    )  # fmt: skip
    for batch in batches(3):
        apart.update(batch)
        assert alone.update(batch) == beside.update(batch)
    searched = apart._impl._nbsr._fit_X  # type: ignore[attr-defined]
    apart.restore(alone.state())
    assert not np.array_equal(searched, apart._impl._nbsr._fit_X)  # type: ignore[attr-defined]
    assert len(searched) == 5


def test_what_was_drawn_elsewhere_does_not_matter() -> None:
    """Updates draw from the learner's own random state, which goes on from update to update."""
    one, two = learner("cql"), learner("cql")
    for batch in batches(3):
        before = one.state()["random"]
        torch.rand(5)
        losses = one.update(batch)
        torch.rand(7)
        assert losses == two.update(batch)
        assert not torch.equal(one.state()["random"], before)


@pytest.mark.parametrize("name", ["bc", "iql"])
def test_who_draws_nothing_keeps_no_random_state(name: str) -> None:
    """Five kilobytes less."""
    assert "random" not in learner(name).state()


def networks() -> tuple[nn.Module, nn.Module]:
    """Two equal networks."""
    made = []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            made.append(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1)))
    return made[0], made[1]


def backward(network: nn.Module, seed: int, scale: float = 1.0) -> None:
    rows = torch.randn(16, 3, generator=torch.Generator().manual_seed(seed))
    (scale * network(rows).pow(2).mean()).backward()


def test_flat_adam_steps_as_torch_does() -> None:
    """On a network whose parameters became views of one vector."""
    flat, plain = networks()
    ours, theirs = FlatAdam([flat], 1e-2), torch.optim.Adam(plain.parameters(), lr=1e-2)
    for seed in range(10):
        for network, optimiser in ((flat, ours), (plain, theirs)):
            optimiser.zero_grad()
            backward(network, seed)
            optimiser.step()
    for mine, other in zip(flat.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


def test_flat_adam_counts_a_shared_parameter_once() -> None:
    """d3rlpy names every module, and so every parameter more than once."""
    network, _ = networks()
    assert FlatAdam([network, network[0], network], 1e-2).vector.numel() == 26  # type: ignore[index]


def test_flat_adam_takes_a_step_back() -> None:
    """Parameters, moments and count; without a step there is nothing to take back."""
    network, _ = networks()
    adam = FlatAdam([network], 1e-2)
    adam.make_undoable()
    backward(network, 0)
    adam.step()
    before, weights = adam.state(), adam.vector.detach().clone()
    adam.undo_after(adam.steps)
    assert torch.equal(adam.vector, weights)
    backward(network, 1)
    adam.step()
    assert not torch.equal(adam.vector, weights)
    adam.undo_after(float(before["step"]))
    assert torch.equal(adam.vector, weights)
    assert all(torch.equal(tensor, adam.state()[name]) for name, tensor in before.items())


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 1e20])
def test_flat_adam_refuses_a_gradient_it_cannot_hold(scale: float) -> None:
    """Before the step, and without a trace in the moments."""
    network, _ = networks()
    adam = FlatAdam([network], 1e-2)
    before, weights = adam.state(), adam.vector.detach().clone()
    backward(network, 0, scale)
    with pytest.raises(TrainingError, match="gradient of norm"):
        adam.step()
    assert torch.equal(adam.vector, weights)
    assert all(torch.equal(tensor, adam.state()[name]) for name, tensor in before.items())
