"""The door to d3rlpy: it comes in quietly, and its update rules come out unchanged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_learning import ACTION, OBSERVATION, batches, learner, observations
from torch import Tensor, nn

from offline_to_online.errors import TrainingError
from offline_to_online.learning.algorithms import _d3rlpy
from offline_to_online.learning.flat_adam import FlatAdam
from offline_to_online.learning.learner import Normaliser
from offline_to_online.learning.replay import Batch

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


def raw_algorithm(name: str, seed: int) -> Any:
    """d3rlpy's own algorithm with its own optimiser, as anybody would build it."""
    library = _d3rlpy.d3rlpy()
    encoder = library.models.VectorEncoderFactory(hidden_units=[16, 8])
    if name == "bc":
        config = library.algos.BCConfig(learning_rate=1e-3, encoder_factory=encoder)
    else:
        config = library.algos.IQLConfig(
            actor_learning_rate=3e-4, critic_learning_rate=3e-4, gamma=0.98, expectile=0.8, weight_temp=3.0,
            actor_encoder_factory=encoder, critic_encoder_factory=encoder, value_encoder_factory=encoder,
        )  # fmt: skip
    algorithm = config.create(device="cpu:0")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        algorithm.create_impl((OBSERVATION.size,), ACTION.size)
    return algorithm


def raw_batch(batch: Batch, normaliser: Normaliser) -> Any:
    """The same numbers as d3rlpy wants them, scaled by formulas of this test's own."""
    low, high = torch.from_numpy(ACTION.low), torch.from_numpy(ACTION.high)
    actions = 2.0 * (batch.actions - low) / (high - low) - 1.0
    return _d3rlpy.d3rlpy().TorchMiniBatch(
        observations=(batch.observations - normaliser.mean) / normaliser.std,
        actions=actions,
        rewards=batch.rewards,
        next_observations=(batch.next_observations - normaliser.mean) / normaliser.std,
        next_actions=torch.zeros_like(actions),
        returns_to_go=torch.zeros_like(batch.rewards),
        terminals=batch.terminals,
        intervals=torch.ones_like(batch.rewards),
        device="cpu:0",
    )


@pytest.mark.parametrize("name", ["bc", "iql"])
def test_learns_as_d3rlpy_itself(name: str) -> None:
    """The same batches give the same losses and networks as d3rlpy's own update, up to rounding."""
    ours, raw = learner(name, seed=4), raw_algorithm(name, 4)
    normaliser = ours._normaliser  # type: ignore[attr-defined]
    for step, batch in enumerate(batches(20)):
        losses = ours.update(batch)
        assert losses == pytest.approx(raw.impl.update(raw_batch(batch, normaliser), step), rel=1e-4, abs=1e-6)
    theirs = raw.impl.modules.get_torch_modules()
    for role, network in ours._networks().items():  # type: ignore[attr-defined]
        for mine, other in zip(network.parameters(), theirs[role].parameters(), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["bc", "iql"])
def test_starts_from_the_weights_that_d3rlpy_would_draw(name: str) -> None:
    """And acts as its ``predict`` does, after our scaling."""
    ours, raw = learner(name, seed=4), raw_algorithm(name, 4)
    scaled = ours._normaliser.apply(torch.from_numpy(observations())).numpy()  # type: ignore[attr-defined]
    expected = ACTION.low + (raw.predict(scaled) + 1.0) / 2.0 * (ACTION.high - ACTION.low)
    np.testing.assert_allclose(ours.act(observations()), expected, rtol=1e-5, atol=1e-4)


def policy_weights(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The weights that the optimiser moves, or with "average" those that act, by their names in the network."""
    role = {"bc": "imitator", "iql": "policy"}.get(name, name)
    return {key.removeprefix(f"network.{role}."): v for key, v in state.items() if key.startswith(f"network.{role}.")}


@pytest.mark.parametrize("name", ["bc", "iql"])
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


@pytest.mark.parametrize("name", ["bc", "iql"])
def test_without_a_past_it_acts_with_the_last_weights(name: str) -> None:
    """A decay of 0 is the network that the optimiser moves."""
    made = learner(name, average_decay=0.0)
    for batch in batches(5):
        made.update(batch)
    averaged, last = policy_weights(made.state(), "average"), policy_weights(made.state(), name)
    assert averaged.keys() == last.keys() != set()
    assert all(torch.equal(averaged[key], value) for key, value in last.items())


@pytest.mark.parametrize(
    ("breaking", "said"),
    [
        (lambda out: out._replace(logstd=out.logstd - 60.0), "gradient of norm"),
        (lambda out: out._replace(logstd=out.logstd * float("nan")), "the policy's distribution"),
    ],
)
def test_a_policy_that_breaks_after_the_critics_moved_takes_them_back(breaking: Any, said: str) -> None:
    """IQL's critics step first; if the policy's gradient is not finite, their step is undone."""
    made, sound = learner("iql"), learner("iql")
    for each in (made, sound):
        each.update(batches(1)[0])
    before = made.state()
    actor = made._impl.modules.policy  # type: ignore[attr-defined]
    forward = actor.forward
    actor.forward = lambda x: breaking(forward(x))
    with pytest.raises(TrainingError, match=rf"{said}.* \(update 2\)"):
        made.update(batches(1, seed=2)[0])
    actor.forward = forward
    after = made.state()
    assert all(torch.equal(after[name], before[name]) for name in before)
    made.update(batches(1, seed=3)[0])
    sound.update(batches(1, seed=3)[0])
    assert all(torch.equal(tensor, sound.state()[name]) for name, tensor in made.state().items())


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
