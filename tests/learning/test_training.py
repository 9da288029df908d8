"""The training loop: what it records, and when it refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from small_learning import batches, learner, replay

from offline_to_online.errors import TrainingError
from offline_to_online.learning.learner import Learner
from offline_to_online.learning.replay import Batch, Replay
from offline_to_online.learning.training import require_rewards, train
from offline_to_online.plugins import module_for


def trained(made: Learner, updates: int, generator: torch.Generator, **settings: Any) -> list[dict[str, float]]:
    return train(made, replay(), updates=updates, batch_size=32, generator=generator, **settings)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_curve_averages_over_its_rows() -> None:
    """Rows of ``log_every`` updates, and one for the rest."""
    fine = trained(learner("bc"), 7, seeded(), log_every=1)
    coarse = trained(learner("bc"), 7, seeded(), log_every=5)
    assert [row["update"] for row in coarse] == [5, 7]
    assert coarse[0]["loss"] == pytest.approx(sum(row["loss"] for row in fine[:5]) / 5)
    assert coarse[1]["loss"] == pytest.approx(sum(row["loss"] for row in fine[5:]) / 2)


def test_training_in_two_parts_equals_training_in_one() -> None:
    """The generator's state goes on."""
    whole, parts = learner("iql"), learner("iql")
    trained(whole, 6, seeded())
    generator = seeded()
    trained(parts, 2, generator)
    trained(parts, 4, generator)
    state = parts.state()
    assert all(torch.equal(tensor, state[name]) for name, tensor in whole.state().items())


def test_training_computes_on_so_many_threads() -> None:
    """As many as it is told, while it lasts, and as many as before afterwards."""
    before, seen = torch.get_num_threads(), list[int]()
    for threads in (1, 2):
        trained(
            learner("bc"),
            1,
            seeded(),
            threads=threads,
            progress=lambda _done, _all: seen.append(torch.get_num_threads()),
        )
    assert seen == [1, 2]
    assert torch.get_num_threads() == before


def test_cloning_gets_better_at_its_data() -> None:
    """The loss falls."""
    curve = trained(learner("bc", learning_rate=3e-3), 200, seeded(), log_every=50)
    assert curve[-1]["loss"] < 0.9 * curve[0]["loss"]


def test_progress_is_told_after_every_update() -> None:
    """With what is done and what there is to do."""
    told: list[tuple[int, int]] = []
    trained(learner("bc"), 3, seeded(), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_no_updates_are_no_rows() -> None:
    """A round may have nothing to learn."""
    assert train(learner("bc"), Replay(3, 2), updates=0, batch_size=4, generator=seeded()) == []


@pytest.mark.parametrize("setting", [{"updates": -1}, {"batch_size": 0}, {"log_every": 0}])
def test_numbers_out_of_range_are_refused(setting: dict[str, int]) -> None:
    """By name."""
    settings = {"updates": 1, "batch_size": 4, "log_every": 1, **setting}
    with pytest.raises(TrainingError, match=next(iter(setting))):
        train(learner("bc"), replay(), generator=seeded(), **settings)


def test_nothing_to_learn_from_is_refused() -> None:
    """Before the first update."""
    with pytest.raises(TrainingError, match="nothing to learn from"):
        train(learner("bc"), Replay(3, 2), updates=1, batch_size=4, generator=seeded())


class Turning:
    """A sampler whose third batch has an infinite observation."""

    def __init__(self) -> None:
        self.drawn = 0

    def __len__(self) -> int:
        return 10

    def sample(self, size: int, generator: torch.Generator) -> Batch:
        self.drawn += 1
        batch = batches(1, seed=self.drawn, size=size)[0]
        if self.drawn == 3:
            batch.observations[0, 0] = math.inf
        return batch


def test_a_non_finite_update_stops_with_the_learner_as_after_the_last_sound_one() -> None:
    """And the message says which update it was."""
    stopped, sound = learner("iql"), learner("iql")
    with pytest.raises(TrainingError, match="update 3"):
        train(stopped, Turning(), updates=5, batch_size=16, generator=seeded())
    train(sound, Turning(), updates=2, batch_size=16, generator=seeded())
    state = sound.state()
    assert all(torch.equal(tensor, state[name]) for name, tensor in stopped.state().items())


def test_offline_rl_needs_rewards_and_cloning_does_not() -> None:
    """``reward_source: none`` is refused for the one, by the policy's name, and fine for the other."""
    require_rewards("none", module_for("algorithms", "bc"), policy="bc")
    require_rewards("file", module_for("algorithms", "iql"), policy="iql")
    with pytest.raises(TrainingError, match=r"no reward was logged \(policy mine\).*dvc repro audit@bc"):
        require_rewards("none", module_for("algorithms", "iql"), policy="mine")


class Seldom:
    """A learner that tells one of its losses at every second update only."""

    def __init__(self) -> None:
        self.updates = 0

    def update(self, batch: Batch) -> dict[str, float]:
        self.updates += 1
        return {"often": 1.0} | ({"seldom": float(self.updates)} if self.updates % 2 else {})


def test_a_loss_is_averaged_over_the_updates_that_told_it() -> None:
    """Not over those that had none."""
    curve = train(Seldom(), replay(), updates=4, batch_size=4, generator=seeded(), log_every=4)  # type: ignore[arg-type]
    assert curve == [{"update": 4, "often": 1.0, "seldom": 2.0}]
