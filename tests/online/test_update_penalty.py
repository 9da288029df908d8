"""Online, an algorithm with a support penalty goes on with the one that was handed off."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import write_json
from offline_to_online.errors import SupportError
from offline_to_online.learning.algorithms import support_guard
from offline_to_online.learning.learner import Normaliser, save_state
from offline_to_online.learning.replay import Replay
from offline_to_online.learning.switch import Switch
from offline_to_online.learning.training import train
from offline_to_online.online.update import load_learner
from offline_to_online.robots import pusht
from offline_to_online.support.behaviour import BehaviourConfig
from offline_to_online.support.penalty import SupportPenalty


def episodes() -> list[Episode]:
    rng, spec = np.random.default_rng(0), pusht.SPEC
    low, high = spec.action.low, spec.action.high
    return [
        Episode(
            observations=rng.uniform(0, 500, (11, spec.observation.size)).astype(np.float32),
            actions=rng.uniform(low, high, (10, spec.action.size)).astype(np.float32),
            rewards=rng.random(10).astype(np.float32),
            cost=np.zeros(10, dtype=np.float32),
            intervened=np.zeros(10, dtype=bool),
            terminated=False,
            truncated=True,
            operator="script",
            seed=i,
            success=False,
            score=0.0,
        )
        for i in range(8)
    ]


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """As much of an online run as loading its learner looks at: a handoff of a small Support Guard."""
    config = support_guard.Config(hidden_units=(8,), batch_size=16, cloning_updates=0)
    penalty = SupportPenalty.fit(episodes(), BehaviourConfig(hidden=4, components=2, updates=5), seed=0)
    penalty.save(tmp_path / "behaviour")
    schemas = {"observation": pusht.SPEC.observation, "action": pusht.SPEC.action}
    made = support_guard.make(
        config, **schemas, normaliser=Normaliser.from_episodes(episodes()), seed=1, penalty=penalty
    )
    save_state(tmp_path / "learner.safetensors", made.state())
    write_json(tmp_path / "card.json", {"algorithm": "support_guard", "config": dataclasses.asdict(config)})
    return SimpleNamespace(handoff_folder=tmp_path, module=pusht, folder=tmp_path, facts={"seed": 1, "device": "cpu"})


def test_it_learns_on_with_the_penalty_and_relies_less_on_the_log(run: Any) -> None:
    """The penalty is told at every update of the policy, and the behaviour weight stands where the switch put it."""
    learner, batch_size = load_learner(run, run.handoff_folder / "learner.safetensors", Normaliser.identity(5))
    source = Replay(pusht.SPEC.observation.size, pusht.SPEC.action.size)
    source.extend(episodes())
    Switch(behaviour=(1.0, 0.25)).schedule(learner, 1.0)
    generator = torch.Generator().manual_seed(0)
    curve = train(learner, source, updates=10, batch_size=batch_size, generator=generator)
    assert curve[-1]["penalty"] >= 0
    assert float(learner.state()["memory.behaviour"]) == pytest.approx(0.25)


def test_a_penalty_that_was_not_handed_off_is_one_error(run: Any) -> None:
    """Learning on without it would be learning without pessimism."""
    (run.handoff_folder / "behaviour/behaviour.json").unlink()
    with pytest.raises(SupportError, match="unreadable support penalty"):
        load_learner(run, run.handoff_folder / "learner.safetensors", Normaliser.identity(5))
