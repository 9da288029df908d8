"""What the robots' tests share: an episode made of observations alone."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from offline_to_online.dataset.episode import Episode


def _failed(module: ModuleType, observations: np.ndarray) -> Episode:
    """A failed episode with these observations (T+1, O), actions of zero, and the robot's own labels."""
    actions = np.zeros((len(observations) - 1, module.SPEC.action.size), dtype=np.float32)
    labels = module.label(observations, actions)
    return Episode(
        observations=observations,
        actions=actions,
        rewards=labels.rewards,
        cost=labels.cost,
        intervened=np.zeros(len(actions), dtype=bool),
        terminated=False,
        truncated=True,
        operator="test",
        seed=0,
        success=False,
        score=labels.score,
    )


@pytest.fixture
def failed_episode() -> Callable[[ModuleType, np.ndarray], Episode]:
    """Makes a failed episode of a robot from observations."""
    return _failed
