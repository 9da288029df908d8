"""Small schemas, episodes and learners that the tests of this room share."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from offline_to_online import plugins
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import ActionSchema, Array, Dimension, ObservationSchema
from offline_to_online.learning.learner import Learner, Normaliser, needs_data, needs_penalty
from offline_to_online.learning.replay import Batch, Replay

OBSERVATION = ObservationSchema(
    dimensions=tuple(Dimension(name=f"joint_{i}", unit="rad", low=-9.0, high=9.0) for i in range(3))
)
# Bounds that are neither symmetric nor alike, so that a forgotten rescaling shows.
ACTION = ActionSchema(
    dimensions=(
        Dimension(name="speed", unit="m/s", low=-0.5, high=1.5),
        Dimension(name="target", unit="px", low=12.0, high=511.0),
    )
)
SMALL: dict[str, Any] = {"hidden_units": (16, 8), "batch_size": 32}


def episode(
    steps: int, *, seed: int = 0, terminated: bool = False, offset: float = 0.0, action: ActionSchema = ACTION
) -> Episode:
    """Random numbers of the right shapes; ``offset`` moves the observations, to tell episodes apart."""
    rng = np.random.default_rng(seed)
    return made_episode(
        observations=rng.normal(2.0, 3.0, (steps + 1, OBSERVATION.size)) + offset,
        actions=rng.uniform(action.low, action.high, (steps, action.size)),
        rewards=rng.normal(size=steps),
        terminated=terminated,
    )


def made_episode(*, observations: Array, actions: Array, rewards: Array, terminated: bool) -> Episode:
    """An episode of given numbers, where the rest does not matter."""
    steps = len(actions)
    return Episode(
        observations=np.asarray(observations, dtype=np.float32),
        actions=np.asarray(actions, dtype=np.float32),
        rewards=np.asarray(rewards, dtype=np.float32),
        cost=np.zeros(steps, dtype=np.float32),
        intervened=np.zeros(steps, dtype=bool),
        terminated=terminated,
        truncated=not terminated,
        operator="script",
        seed=-1,
        success=False,
        score=0.0,
    )


def replay(count: int = 6, *, steps: int = 20) -> Replay:
    """A replay of random episodes, every other one terminated."""
    filled = Replay(OBSERVATION.size, ACTION.size)
    filled.extend(episode(steps, seed=i, terminated=i % 2 == 0) for i in range(count))
    return filled


def batches(count: int, *, seed: int = 0, size: int = 32) -> list[Batch]:
    """Batches drawn from a small replay."""
    generator = torch.Generator().manual_seed(seed)
    source = replay()
    return [source.sample(size, generator) for _ in range(count)]


def far_from_centre(observations: Tensor, actions: Tensor) -> Tensor:
    """A penalty for tests: nats that grow with the distance of an action from the middle half of its range."""
    low, high = torch.from_numpy(ACTION.low), torch.from_numpy(ACTION.high)
    share = (actions - low) / (high - low)
    return 10.0 * ((share - 0.5).abs() - 0.25).relu().sum(dim=-1)


def wanted_by(module: ModuleType) -> dict[str, Any]:
    """What ``make`` of an algorithm wants more than the others."""
    penalty: dict[str, Any] = {"penalty": far_from_centre} if needs_penalty(module) else {}
    return penalty | ({"data": replay()} if needs_data(module) else {})


def learner(name: str, *, seed: int = 1, device: str = "cpu", **settings: Any) -> Learner:
    """A small learner of a named algorithm, normalised by random episodes."""
    module = plugins.module_for("algorithms", name)
    made: Learner = module.make(
        module.Config(**{**SMALL, **settings}),
        observation=OBSERVATION,
        action=ACTION,
        normaliser=Normaliser.from_episodes([episode(50, seed=9)]),
        seed=seed,
        device=device,
        **wanted_by(module),
    )
    return made


def observations(rows: int = 40, *, seed: int = 3) -> Array:
    """Observations in robot units, float32 (rows, O)."""
    return np.random.default_rng(seed).normal(2.0, 3.0, (rows, OBSERVATION.size)).astype(np.float32)


def updated(name: str, count: int = 20, **settings: Any) -> Learner:
    """A small learner after so many updates."""
    made = learner(name, **settings)
    for batch in batches(count):
        made.update(batch)
    return made


def assert_same(one: Learner, two: Learner) -> None:
    """Whether two learners' states are equal to the last bit."""
    mine, other = one.state(), two.state()
    assert set(mine) == set(other)
    differ = [name for name, tensor in mine.items() if not torch.equal(tensor, other[name])]
    assert not differ
