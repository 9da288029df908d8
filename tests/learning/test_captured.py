"""Many updates in one graph: as one at a time, to the last bit.

The CUDA graph itself needs a GPU (the last test). Everything else is held to on a tape, which is to a CPU what such a
graph is to a GPU: it does the recorded operations again, in the same memory, and knows nothing of Python.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_learning import ACTION, OBSERVATION, SMALL, assert_same, episode, learner, replay
from tape import Tape

from benchmarks.learning_speed.several import ForEach
from offline_to_online.errors import TrainingError
from offline_to_online.learning import captured
from offline_to_online.learning.algorithms.support_guard import Config, SupportGuard
from offline_to_online.learning.captured import Capturable, CudaGraph, Graph, captured_updates, is_capturable
from offline_to_online.learning.learner import Normaliser
from offline_to_online.learning.replay import Batch, Mixture, Replay, Sampler
from offline_to_online.support.behaviour import BehaviourConfig
from offline_to_online.support.penalty import SupportPenalty

PENALTY = SupportPenalty.fit([episode(40, seed=i) for i in range(6)], BehaviourConfig(updates=20, hidden=16), 0)
UPDATES = 100
BROKEN = 28  # the update that is not sound: twelve one at a time, twelve in a replay, then it is the fourth


@pytest.fixture(autouse=True)
def _small_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "UPDATES_A_GRAPH", 12)
    monkeypatch.setattr(captured, "WORTHWHILE", 2)
    monkeypatch.setattr(captured, "FAILED", set())


class Tapes:
    """Makes tapes, and keeps them."""

    def __init__(self) -> None:
        self.made = list[Tape]()

    def __call__(self, generator: torch.Generator) -> Tape:
        self.made.append(Tape(generator))
        return self.made[-1]


def guard(runs: int = 1, device: str = "cpu", **settings: Any) -> SupportGuard:
    return SupportGuard(
        [Config(**{**SMALL, "cloning_updates": 0, **settings})] * runs,
        observation=OBSERVATION,
        action=ACTION,
        normaliser=Normaliser.from_episodes([episode(50, seed=9)]),
        seeds=range(runs),
        penalty=PENALTY,
        device=device,
    )


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def on_tape(
    made: Capturable,
    source: Sampler,
    generator: torch.Generator,
    graph: Callable[[torch.Generator], Graph] = Tape,
) -> list[dict[str, float]]:
    return list(captured_updates(made, source, updates=UPDATES, batch_size=32, generator=generator, graph=graph))


def one_at_a_time(made: Capturable, source: Sampler, generator: torch.Generator) -> list[dict[str, float]]:
    return [made.update(source.sample(32, generator)) for _ in range(UPDATES)]


def broken() -> Replay:
    """A replay that refuses nothing any more: one reward, first drawn in the second replay of a graph, is no number."""
    source, generator = replay(200), seeded()
    drawn = torch.stack([torch.randint(len(source), (32,), generator=generator) for _ in range(BROKEN)])
    first = next(step for step in drawn[-1].tolist() if step not in drawn[:-1])
    source._numbers[0, first] = math.nan
    return source


SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "replay": replay,
    "mixture": lambda: Mixture(offline=replay(), online=replay(2), online_share=0.3),
}


@pytest.mark.parametrize("settings", [{}, {"cloning_updates": 37}, {"critics": 3, "actor_every": 5}, {"n_step": 3}])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_replayed_updates_are_those_one_at_a_time(sampler: str, settings: dict[str, Any]) -> None:
    """Losses, learner and the generator that drew, to the last bit; so every replay drew anew."""
    alone, together, tapes, generators = guard(**settings), guard(**settings), Tapes(), (seeded(), seeded())
    expected = one_at_a_time(alone, SAMPLERS[sampler](), generators[0])
    assert on_tape(together, SAMPLERS[sampler](), generators[1], tapes) == expected
    assert_same(alone, together)
    assert torch.equal(generators[0].get_state(), generators[1].get_state())
    assert sum(tape.replayed for tape in tapes.made) > 4
    assert len({losses["critic_loss"] for losses in expected}) == UPDATES


def test_several_seeds_in_one_batch_are_recorded_alike() -> None:
    """Each with transitions of its own."""
    alone, together, tapes = guard(3), guard(3), Tapes()
    expected = one_at_a_time(alone, ForEach(replay(), 3), seeded())
    assert on_tape(together, ForEach(replay(), 3), seeded(), tapes) == expected
    assert_same(alone, together)
    assert tapes.made[0].replayed == 7


def test_when_it_no_longer_only_imitates_it_is_recorded_anew() -> None:
    """Two graphs, and between them what is left over is done one at a time."""
    tapes = Tapes()
    on_tape(guard(cloning_updates=37), replay(), seeded(), tapes)
    assert [tape.replayed for tape in tapes.made] == [2, 4]
    assert tapes.made[1].recorded > tapes.made[0].recorded


def test_what_is_set_between_two_trainings_counts_in_the_next() -> None:
    """Rates, the weight of the behaviour, and what was appended meanwhile."""
    alone, together = guard(), guard()
    sources, generators = (replay(), replay()), (seeded(), seeded())
    for factor in (1.0, 0.3):
        for made in (alone, together):
            made.scale_behaviour(factor)
            made.scale_learning_rates(actor=factor, critic=1.0)
        assert on_tape(together, sources[1], generators[1]) == one_at_a_time(alone, sources[0], generators[0])
        for source in sources:
            source.append(episode(15, seed=77))
    assert_same(alone, together)


def test_an_update_that_is_not_sound_stops_where_it_would_have_alone() -> None:
    """What was replayed after it is taken back; the message names the same update."""
    alone, together, told = guard(), guard(), list[str]()
    for made, run in ((alone, one_at_a_time), (together, on_tape)):
        with pytest.raises(TrainingError, match="rewards of the batch hold NaN") as caught:
            run(made, broken(), seeded())
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert f"update {BROKEN}" in told[0]
    assert_same(alone, together)
    assert together.updates == alone.updates


def test_it_goes_on_after_a_broken_update_as_one_at_a_time_would() -> None:
    """The host's count of updates is where it was."""
    alone, together = guard(), guard()
    for made, run in ((alone, one_at_a_time), (together, on_tape)):
        with pytest.raises(TrainingError):
            run(made, broken(), seeded())
        run(made, replay(), seeded())
    assert_same(alone, together)


def test_what_cannot_be_recorded_is_done_one_at_a_time_and_said() -> None:
    """A step that waits for the host makes the outcome slower and nothing else."""

    class Waiting(SupportGuard):
        def step(self, batch: Batch) -> dict[str, torch.Tensor]:
            found = super().step(batch)
            assert math.isfinite(float(found["value"]))
            return found

    alone, made = guard(), guard()
    made.__class__ = Waiting
    expected = one_at_a_time(alone, replay(), seeded())
    with pytest.warns(UserWarning, match="cannot be captured in a CUDA graph"):
        assert on_tape(made, replay(), seeded()) == expected
    assert_same(alone, made)


def test_a_few_updates_are_not_worth_a_graph() -> None:
    """Nothing is recorded, and all of them are done."""
    tapes = Tapes()
    found = captured_updates(guard(), replay(), updates=23, batch_size=32, generator=seeded(), graph=tapes)
    assert len(list(found)) == 23
    assert not tapes.made


def test_what_learns_on_a_gpu_by_steps_is_recorded_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on a CPU, on another GPU, without a step on the device, or where the turns take too long to repeat."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    made = guard()
    assert not is_capturable(made)
    for device, recorded in (("cuda", True), ("cuda:0", True), ("cuda:1", False)):
        made.device = torch.device(device)  # nothing is computed there
        assert is_capturable(made) is recorded
    made.device, made.turns = torch.device("cuda"), captured.LARGEST_GRAPH + 1
    assert not is_capturable(made)
    assert not is_capturable(learner("iql"))


def on_gpu(source: Replay) -> Replay:
    """Its transitions, on a GPU."""
    source.device = torch.device("cuda")
    for name in ("_observations", "_actions", "_numbers", "_places"):
        setattr(source, name, getattr(source, name).cuda())
    return source


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: nothing to capture on")
@pytest.mark.parametrize("settings", [{}, {"cloning_updates": 37}])
def test_a_cuda_graph_does_what_updates_one_at_a_time_do(settings: dict[str, Any]) -> None:
    """On the same batches, which it draws itself and anew at each replay; with a second graph after the first too."""
    made = [guard(device="cuda", **settings) for _ in range(2)]
    generators = [torch.Generator("cuda").manual_seed(0) for _ in range(2)]
    one_at_a_time(made[0], on_gpu(replay()), generators[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        on_tape(made[1], on_gpu(replay()), generators[1], CudaGraph)
    assert torch.equal(generators[0].get_state(), generators[1].get_state())
    for name, tensor in made[0].state().items():
        torch.testing.assert_close(made[1].state()[name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: nothing to capture on")
def test_a_replay_of_a_cuda_graph_that_is_not_sound_is_taken_back() -> None:
    """It stops at some update of the broken replay, and the learner is finite."""
    made, source = guard(device="cuda"), on_gpu(replay())
    generator = torch.Generator("cuda").manual_seed(0)
    found = captured_updates(made, source, updates=UPDATES, batch_size=32, generator=generator)
    for _ in range(30):
        next(found)
    source._numbers[0] = math.nan
    with pytest.raises(TrainingError, match="rewards of the batch hold NaN"):
        list(found)
    assert all(tensor.isfinite().all() for tensor in made.state().values())
    assert made.updates == int(made.memory["updates"])
