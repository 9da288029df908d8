"""On a GPU: IQL and Support Guard beside d3rlpy's eager fit, and several seeds of Support Guard in one batch."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
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
from benchmarks.learning_speed.timing import Interval, Run, Side, ratio, take_turns
from offline_to_online.dataset.episode import Episode
from offline_to_online.learning.algorithms.support_guard import SupportGuard
from offline_to_online.learning.learner import Normaliser
from offline_to_online.learning.replay import Batch, replay_for

ACCELERATOR = "cuda"
# d3rlpy has no Support Guard: beside it stands the same IQL.
BESIDE = {"iql": "iql", "support_guard": "iql"}
TOGETHER = 16  # seeds in one batch


class Together:
    """So many seeds of Support Guard, updated in one batch, each on transitions of its own."""

    def __init__(self, seeds: int, episodes: Sequence[Episode], device: str) -> None:
        config = measured_config("support_guard")
        self._learner = SupportGuard(
            [config] * seeds,
            observation=OBSERVATION,
            action=ACTION,
            normaliser=Normaliser.from_episodes(episodes),
            seeds=range(seeds),
            penalty=made_penalty(tuple(episodes[:4])),
            device=device,
        )
        self._replay = replay_for(config, OBSERVATIONS, ACTIONS, device=device)
        self._replay.extend(episodes)
        self._seeds, self._generator = seeds, torch.Generator(device).manual_seed(SEED)

    def run(self, updates: int) -> float:
        """Seconds of so many updates of all seeds; each tells its losses, and so waits for the device."""
        started = time.perf_counter()
        for _ in range(updates):
            self._learner.update(self._batch())
        return time.perf_counter() - started

    def _batch(self) -> Batch:
        flat = self._replay.sample(self._seeds * BATCH, self._generator)
        parts = {each.name: getattr(flat, each.name) for each in dataclasses.fields(Batch)}
        return Batch(**{name: part.view(self._seeds, BATCH, -1) for name, part in parts.items()})


def graphics_rows(episodes: Sequence[Episode], dataset: Any, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """What the GPU does; a row that says so where there is none."""
    if not torch.cuda.is_available():
        return [{"part": "gpu", "measured": False, "why": "torch finds no GPU"}]
    rows = [_beside(name, episodes, dataset, rounds, seconds) for name in BESIDE]
    return [*rows, together_row(episodes, ACCELERATOR, rounds, seconds)]


def together_row(episodes: Sequence[Episode], device: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Updates a second of several seeds in one batch, all added up, over those of one seed."""
    one, many = Side("1 seed", 1), Side(f"{TOGETHER} seeds", 1)
    runs: dict[Side, Run] = {one: Together(1, episodes, device).run, many: Together(TOGETHER, episodes, device).run}
    taken = take_turns(runs, rounds=rounds, seconds=seconds)
    each = [seconds / TOGETHER for seconds in taken[many]]
    rates = {"one_per_s": 1 / Interval.of(taken[one]).median, "together_per_s": 1 / Interval.of(each).median}
    return {"part": "gpu seeds", "measured": True, "seeds": TOGETHER, **rates, "ratio": ratio(taken[one], each)}


def _beside(name: str, episodes: Sequence[Episode], dataset: Any, rounds: int, seconds: float) -> dict[str, Any]:
    ours, theirs, peer = Side(OURS, 1), Side(THEIRS, 1), BESIDE[name]
    runs: dict[Side, Run] = {ours: our_side(name, measured_config(name), episodes, ACCELERATOR).run}
    runs[theirs] = Peer(peer_config(peer, measured_config(peer)), dataset, f"{ACCELERATOR}:0").run
    taken = take_turns(runs, rounds=rounds, seconds=seconds)
    rates = {f"{side.name}_per_s": 1 / Interval.of(taken[side]).median for side in runs}
    return {
        "part": "gpu",
        "measured": True,
        "algorithm": name,
        "beside": peer,
        **rates,
        "ratio": ratio(taken[theirs], taken[ours]),
    }
