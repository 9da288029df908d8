"""One episode as it was recorded: T+1 observations around T executed actions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from offline_to_online.dataset.spec import Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Episode:
    """What happened, as the robot executed it.

    Attributes:
        observations: float32, shape (T+1, O).
        actions: float32, shape (T, A), the *executed* actions.
        rewards: float32, shape (T,).
        cost: float32, shape (T,), the robot's constraint cost of each step.
        intervened: bool, shape (T,), a guard or a person acted in this step.
        terminated: the task ended by its own rule in the last step (never bootstrapped).
        truncated: the time ran out or the recording was cut (bootstrapped).
        operator: who acted (``expert``, ``human``, ``champion`` ...).
        seed: the seed of the reset, or -1 where it was not logged.
        success: whether the episode counts as a success.
        score: how far it got, in [0, 1] (the robot says of what).
    """

    observations: Array
    actions: Array
    rewards: Array
    cost: Array
    intervened: Array
    terminated: bool
    truncated: bool
    operator: str
    seed: int
    success: bool
    score: float

    def __len__(self) -> int:
        return len(self.actions)

    @cached_property
    def identity(self) -> str:
        """SHA-256 over observations, actions, rewards and the ending: the episode's content, not its file."""
        digest = hashlib.sha256()
        for array in (self.observations, self.actions, self.rewards):
            digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
        digest.update(bytes([self.terminated, self.truncated]))
        return digest.hexdigest()

    def discounted_return(self, gamma: float) -> float:
        """sum_t gamma^t r_t, with gamma in (0, 1]."""
        return float(np.sum(self.rewards.astype(np.float64) * gamma ** np.arange(len(self))))
