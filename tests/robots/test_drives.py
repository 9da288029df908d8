"""What a robot says that each command moves is what moves in its simulator."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from offline_to_online import plugins
from offline_to_online.dataset.checks._reference import reference
from offline_to_online.robots import Dynamics

SURE = 4.0
"""t-value: how many times its own error an effect must be."""


SAID = [
    name
    for name in plugins.available("robots")
    if getattr(plugins.module_for("robots", name), "SPEC", None) and plugins.module_for("robots", name).SPEC.drives
]


@pytest.fixture(params=SAID, scope="module")
def module(request: pytest.FixtureRequest) -> ModuleType:
    return plugins.module_for("robots", request.param)


def at_random(
    module: ModuleType, *, episodes: int = 20, steps: int = 100, held: int = 5
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Observations and actions under commands drawn anew every few steps."""
    rng, robot = np.random.default_rng(0), module.make(Dynamics())
    played = []
    for _ in range(episodes):
        seen, done = [robot.reset(module.draw_task(rng))], []
        while len(done) < min(steps, module.SPEC.horizon):
            if len(done) % held == 0:
                action = rng.uniform(module.SPEC.action.low, module.SPEC.action.high).astype(np.float32)
            step = robot.step(action)
            done.append(action)
            seen.append(step.observation)
            if step.terminated or step.truncated:
                break
        played.append((np.array(seen), np.array(done)))
    robot.close()
    return played


def test_every_command_moves_something_that_is_observed(module: ModuleType) -> None:
    """All actions are there, and no observation twice."""
    drives = module.SPEC.drives
    assert set(drives) == set(module.SPEC.action.names)
    assert set(drives.values()) <= set(module.SPEC.observation.names)
    assert len(set(drives.values())) == len(drives)


def test_a_positive_command_moves_it_up_in_the_next_observation(module: ModuleType) -> None:
    """In the simulator, beyond doubt, with all other commands drawn at random."""
    found = reference(at_random(module))
    assert found is not None
    assert found.profile.lag == 0
    for action, observation in module.SPEC.drives.items():
        i, j = module.SPEC.action.names.index(action), module.SPEC.observation.names.index(observation)
        assert found.significance[i, j] > SURE, (action, observation, found.significance[i, j])
