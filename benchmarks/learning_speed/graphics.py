"""On a GPU: IQL and Support Guard beside d3rlpy's eager fit, several seeds in one batch, and what a graph changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from benchmarks.learning_speed.contenders import (
    BATCH,
    OURS,
    THEIRS,
    made_penalty,
    measured_config,
    our_side,
)
from benchmarks.learning_speed.made_up import ACTION, ACTIONS, OBSERVATION, OBSERVATIONS, SEED
from benchmarks.learning_speed.peers import Peer, peer_config
from benchmarks.learning_speed.several import ForEach
from benchmarks.learning_speed.timing import Interval, Run, Side, in_turns, ratio
from offline_to_online.dataset.episode import Episode
from offline_to_online.learning.algorithms.support_guard import SupportGuard
from offline_to_online.learning.captured import UPDATES_A_GRAPH, WORTHWHILE, CudaGraph, Graph, captured_updates
from offline_to_online.learning.learner import Normaliser
from offline_to_online.learning.replay import replay_for
from offline_to_online.learning.training import train

ACCELERATOR = "cuda"
# d3rlpy has no Support Guard: beside it stands the same IQL.
BESIDE = {"iql": "iql", "support_guard": "iql"}
TOGETHER = 16  # seeds in one batch
UPDATES = 5000
"""Of a block of ours, as many as its offline training has: a graph is recorded once in them."""
THEIR_UPDATES = 500
COMPARED = WORTHWHILE * UPDATES_A_GRAPH
"""Updates after which a captured learner is held against one that was not."""


class Together:
    """So many seeds of Support Guard, updated in one batch.

    Attributes:
        learner: of all of them.
    """

    def __init__(self, seeds: int, episodes: Sequence[Episode], device: str) -> None:
        config = measured_config("support_guard")
        self.learner = _guard(seeds, episodes, device)
        replay = replay_for(config, OBSERVATIONS, ACTIONS, device=device)
        replay.extend(episodes)
        self._sampler, self._generator = ForEach(replay, seeds), torch.Generator(device).manual_seed(SEED)

    def run(self, updates: int) -> float:
        """Seconds of so many updates of all seeds by ``training.train``."""
        started = time.perf_counter()
        train(self.learner, self._sampler, updates=updates, batch_size=BATCH, generator=self._generator)
        return time.perf_counter() - started

    def run_one_at_a_time(self, updates: int) -> None:
        """The same without ``train``, which would capture them."""
        for _ in range(updates):
            self.learner.update(self._sampler.sample(BATCH, self._generator))

    def run_captured(self, updates: int, graph: Callable[[torch.Generator], Graph]) -> None:
        """The same in a graph."""
        for _ in captured_updates(
            self.learner, self._sampler, updates=updates, batch_size=BATCH, generator=self._generator, graph=graph
        ):
            pass


def graphics_rows(episodes: Sequence[Episode], dataset: Any, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """What the GPU does, or a row that says that there is none; for less than a second a block is that share of one."""
    if not torch.cuda.is_available():
        return [{"part": "gpu", "measured": False, "why": "torch finds no GPU"}]
    share = min(1.0, seconds)
    rows = [_beside(name, episodes, dataset, rounds, share) for name in BESIDE]
    return [*rows, together_row(episodes, ACCELERATOR, rounds, share), agreement_row(episodes, ACCELERATOR)]


def together_row(episodes: Sequence[Episode], device: str, rounds: int, share: float) -> dict[str, Any]:
    """Updates a second of several seeds in one batch, all added up, over those of one seed."""
    one, many = Side("1 seed", 1), Side(f"{TOGETHER} seeds", 1)
    runs: dict[Side, Run] = {one: Together(1, episodes, device).run, many: Together(TOGETHER, episodes, device).run}
    taken = in_turns(runs, {side: _part(UPDATES, share) for side in runs}, rounds=rounds)
    each = [seconds / TOGETHER for seconds in taken[many]]
    rates = {"one_per_s": 1 / Interval.of(taken[one]).median, "together_per_s": 1 / Interval.of(each).median}
    return {"part": "gpu seeds", "measured": True, "seeds": TOGETHER, **rates, "ratio": ratio(taken[one], each)}


def agreement_row(
    episodes: Sequence[Episode], device: str, graph: Callable[[torch.Generator], Graph] = CudaGraph
) -> dict[str, Any]:
    """How far a captured learner is from one that was not, after the same batches, each drawn anew.

    Random numbers that a replay drew once more would take the two apart.

    Returns:
        ``apart``: the largest difference of anything that learning moves, as a share of its largest magnitude;
        ``replays``: of the graph.
    """
    eager, other = Together(1, episodes, device), Together(1, episodes, device)
    counted = list[Counted]()

    def counting(generator: torch.Generator) -> Graph:
        counted.append(Counted(graph(generator)))
        return counted[-1]

    eager.run_one_at_a_time(COMPARED)
    other.run_captured(COMPARED, counting)
    pairs = zip(eager.learner.moving(), other.learner.moving(), strict=True)
    return {
        "part": "gpu capture",
        "measured": True,
        "updates": COMPARED,
        "apart": max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-12)) for a, b in pairs),
        "replays": sum(each.replays for each in counted),
    }


class Counted:
    """A graph, and how often it was replayed."""

    def __init__(self, graph: Graph) -> None:
        self._graph, self.replays = graph, 0

    def record(self, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        """As ``Graph.record``."""
        return self._graph.record(work)

    def replay(self) -> None:
        """As ``Graph.replay``."""
        self._graph.replay()
        self.replays += 1


def _beside(name: str, episodes: Sequence[Episode], dataset: Any, rounds: int, share: float) -> dict[str, Any]:
    ours, theirs, peer = Side(OURS, 1), Side(THEIRS, 1), BESIDE[name]
    runs: dict[Side, Run] = {ours: our_side(name, measured_config(name), episodes, ACCELERATOR).run}
    runs[theirs] = Peer(peer_config(peer, measured_config(peer)), dataset, f"{ACCELERATOR}:0").run
    counts: Mapping[Side, int] = {ours: _part(UPDATES, share), theirs: _part(THEIR_UPDATES, share)}
    taken = in_turns(runs, counts, rounds=rounds)
    rates = {f"{side.name}_per_s": 1 / Interval.of(taken[side]).median for side in runs}
    return {
        "part": "gpu",
        "measured": True,
        "algorithm": name,
        "beside": peer,
        **rates,
        "ratio": ratio(taken[theirs], taken[ours]),
    }


def _guard(seeds: int, episodes: Sequence[Episode], device: str) -> SupportGuard:
    return SupportGuard(
        [measured_config("support_guard")] * seeds,
        observation=OBSERVATION,
        action=ACTION,
        normaliser=Normaliser.from_episodes(episodes),
        seeds=range(seeds),
        penalty=made_penalty(tuple(episodes[:4])),
        device=device,
    )


def _part(updates: int, share: float) -> int:
    return max(2, 2 * round(0.5 * share * updates))
