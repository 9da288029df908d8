"""A corridor of six cells whose values are known: steps succeed four times in five, and the sixth cell ends it."""

from __future__ import annotations

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.learning.replay import Replay

CELLS, GAMMA, SUCCEEDS, HORIZON = 6, 0.9, 0.8, 12
STEP_REWARD, WALL_REWARD, END_REWARD = -0.1, -0.2, 1.0


class Rightward:
    """Always to the end of the corridor."""

    def act(self, observations):
        return np.full((len(observations), 1), 0.7, dtype=np.float32)


class Dithering:
    """To the middle, and back and forth there for ever."""

    def act(self, observations):
        return np.where(observations[:, :1] < 2.5, 0.7, -0.7).astype(np.float32)


def true_value(policy) -> float:
    """The discounted return of a policy from cells 0 to 4, equally likely."""
    cells = np.arange(CELLS - 1, dtype=np.float32)
    moves = np.sign(policy.act(cells[:, None])[:, 0])
    values = np.zeros(CELLS)
    for _ in range(500):
        to = np.maximum(cells + moves, 0).astype(int)
        rewards = np.array([_reward(int(cell)) for cell in range(CELLS)])
        onwards = rewards + GAMMA * values
        values[:-1] = SUCCEEDS * onwards[to] + (1 - SUCCEEDS) * onwards[:-1]
    return float(values[:-1].mean())


def corridor_log(episodes: int, *, seed: int) -> Replay:
    """A log of random steps, each episode from a random cell until the end or the time is out."""
    rng = np.random.default_rng(seed)
    replay = Replay(1, 1, gamma=GAMMA)
    replay.extend(_wander(rng) for _ in range(episodes))
    return replay


def made_episode(cells, actions, rewards, *, terminated: bool) -> Episode:
    """An episode of given cells (T+1), actions (T) and rewards (T)."""
    nothing = np.zeros(len(actions), dtype=np.float32)
    return Episode(
        observations=np.array(cells, dtype=np.float32)[:, None],
        actions=np.array(actions, dtype=np.float32)[:, None],
        rewards=np.array(rewards, dtype=np.float32),
        cost=nothing,
        intervened=nothing.astype(bool),
        terminated=terminated,
        truncated=not terminated,
        operator="script",
        seed=-1,
        success=terminated,
        score=0.0,
    )


def _wander(rng) -> Episode:
    cells, actions, rewards = [int(rng.integers(CELLS - 1))], [], []
    while len(actions) < HORIZON and cells[-1] < CELLS - 1:
        action = rng.uniform(-1, 1)
        moved = int(np.sign(action)) if rng.random() < SUCCEEDS else 0
        cells.append(max(cells[-1] + moved, 0))
        actions.append(action)
        rewards.append(_reward(cells[-1]))
    return made_episode(cells, actions, rewards, terminated=cells[-1] == CELLS - 1)


def _reward(cell: int) -> float:
    """Of the step that leads to a cell."""
    return END_REWARD if cell == CELLS - 1 else WALL_REWARD if cell == 0 else STEP_REWARD
