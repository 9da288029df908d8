"""What an episode's rewards add up to: over n steps, and to its end. O(T), whatever n is."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array


def windows(steps: int, n_step: int) -> Array:
    """How many steps the window of each step spans, int64 (T,): n, or those that its episode of T steps has left."""
    return np.minimum(n_step, np.arange(steps, 0, -1))


def summed(rewards: Array, n_step: int, gamma: float) -> Array:
    """Discounted sum of the rewards in the window of each step, float64 (T,)."""
    if n_step == 1:
        return np.asarray(rewards, dtype=np.float64)
    steps, window = len(rewards), windows(len(rewards), n_step)
    # All that follows a step, less all that follows its window.
    later = np.append(_to_go(rewards, gamma, 0.0), 0.0)
    sums: Array = later[:-1] - gamma**window * later[np.arange(steps) + window]
    return sums


def returns_to_go(episode: Episode, gamma: float) -> Array:
    """Discounted sum of each and all later rewards, float64 (T,).

    Where only time ran out, the last reward is taken to go on for ever, which adds reward / (1 - gamma) after the end;
    at gamma 1 that has no finite sum, and nothing is added.
    """
    rewards = np.asarray(episode.rewards, dtype=np.float64)
    ends = episode.terminated or gamma == 1.0
    return _to_go(rewards, gamma, 0.0 if ends else float(rewards[-1]) / (1.0 - gamma))


def _to_go(rewards: Array, gamma: float, after: float) -> Array:
    backwards = np.asarray(rewards, dtype=np.float64)[::-1].tolist()
    sums = list(accumulate(backwards, lambda later, reward: reward + gamma * later, initial=after))
    return np.array(sums[:0:-1])
