"""Small synthetic logs: a smooth behaviour on random walks, whose episodes are exchangeable."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import ActionSchema, Array, Dimension, ObservationSchema

OBSERVATIONS, ACTIONS = 4, 2


def episode(observations: Array, actions: Array, operator: str = "person") -> Episode:
    """An episode around given observations (T+1, O) and actions (T, A)."""
    zeros = np.zeros(len(actions), dtype=np.float32)
    return Episode(
        observations=observations.astype(np.float32),
        actions=actions.astype(np.float32),
        rewards=zeros,
        cost=zeros,
        intervened=zeros > 0,
        terminated=False,
        truncated=True,
        operator=operator,
        seed=0,
        success=False,
        score=0.0,
    )


def episode_from(rng: np.random.Generator, steps: int) -> Episode:
    """A random walk on which the logger acts by tanh of the state, with noise; some episodes walk further."""
    walk = np.cumsum(rng.normal(scale=0.1 * rng.gamma(4.0) / 4.0, size=(steps + 1, OBSERVATIONS)), axis=0)
    observations = walk + rng.uniform(-0.5, 0.5, size=OBSERVATIONS)
    actions = np.tanh(observations[:-1, :ACTIONS]) * 0.8 + rng.normal(scale=0.02, size=(steps, ACTIONS))
    return episode(observations, np.clip(actions, -1, 1))


def log(seed: int, count: int, steps: int = 12) -> list[Episode]:
    """``count`` exchangeable episodes."""
    rng = np.random.default_rng(seed)
    return [episode_from(rng, steps) for _ in range(count)]


@pytest.fixture(scope="session")
def make_log() -> Callable[..., list[Episode]]:
    """``make_log(seed, count, steps=12)``."""
    return log


@pytest.fixture
def episode_of() -> Callable[..., Episode]:
    """``episode_of(observations (T+1, O), actions (T, A))``."""
    return episode


def regions(observations: Array, actions: Array) -> dict[str, Array]:
    """Left and right by the first observation; one that nobody ever visits; and saturation of the first action."""
    return {
        "reset_state/left": observations[:, 0] < 0,
        "reset_state/right": observations[:, 0] >= 0,
        "gripper_pose/far": observations[:, 0] > 1e6,
        "saturation/first": np.abs(actions[:, 0]) >= 1.0,
    }


@pytest.fixture
def module() -> SimpleNamespace:
    """A robot's module as far as support looks at it."""
    names = [Dimension(name=f"sensor_{i}", unit="m", low=-9.0, high=9.0) for i in range(OBSERVATIONS)]
    joints = [Dimension(name=f"joint_{i}", unit="1", low=-1.0, high=1.0) for i in range(ACTIONS)]
    spec = SimpleNamespace(
        observation=ObservationSchema(dimensions=tuple(names)), action=ActionSchema(dimensions=tuple(joints))
    )
    return SimpleNamespace(SPEC=spec, regions=regions)
