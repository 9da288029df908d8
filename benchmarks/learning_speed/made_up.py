"""Made-up episodes of 39 + 28 dimensions, the size of a hand at a door, in numbers that are normalised already."""

from __future__ import annotations

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import ActionSchema, Dimension, ObservationSchema
from offline_to_online.learning.replay import Replay

OBSERVATIONS, ACTIONS, STEPS, SEED = 39, 28, 200, 17
OBSERVATION = ObservationSchema(
    dimensions=tuple(Dimension(name=f"o{i}", unit="1", low=-10.0, high=10.0) for i in range(OBSERVATIONS))
)
ACTION = ActionSchema(dimensions=tuple(Dimension(name=f"a{i}", unit="1", low=-1.0, high=1.0) for i in range(ACTIONS)))


def made_up_episode(rng: np.random.Generator, steps: int = STEPS) -> Episode:
    """Noise, with a reward between 0 and 1 in each step; the time runs out."""
    none = np.zeros(steps, dtype=np.float32)
    return Episode(
        observations=rng.normal(size=(steps + 1, OBSERVATIONS)).clip(-10, 10).astype(np.float32),
        actions=rng.uniform(-0.95, 0.95, (steps, ACTIONS)).astype(np.float32),
        rewards=rng.uniform(size=steps).astype(np.float32),
        cost=none,
        intervened=none > 0,
        terminated=False,
        truncated=True,
        operator="noise",
        seed=-1,
        success=False,
        score=0.0,
    )


def made_up_episodes(transitions: int, steps: int = STEPS) -> list[Episode]:
    """Different episodes of so many steps, about so many transitions in all, at least two episodes."""
    rng = np.random.default_rng(SEED)
    return [made_up_episode(rng, steps) for _ in range(max(2, transitions // steps))]


def filled(transitions: int, steps: int, different: int = 8) -> Replay:
    """A replay of so many transitions; only a few episodes differ, each copy of them has its own place in memory."""
    replay = Replay(OBSERVATIONS, ACTIONS, capacity_hint=transitions + transitions // steps + 1)
    pool = made_up_episodes(different * steps, steps)
    replay.extend(pool[i % len(pool)] for i in range(transitions // steps))
    return replay
