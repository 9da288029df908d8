"""Who takes part: our learners under our own training loop, and beside each the sides it is measured against."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.learning_speed.bare import BARE, table_of
from benchmarks.learning_speed.bounds import BOUNDS, Products
from benchmarks.learning_speed.made_up import ACTION, ACTIONS, OBSERVATION, OBSERVATIONS, SEED
from benchmarks.learning_speed.peers import PEERS, Peer, peer_config, their_dataset
from benchmarks.learning_speed.timing import Run, Side, threads
from offline_to_online.dataset.episode import Episode
from offline_to_online.learning.learner import Learner, Normaliser, needs_data, needs_penalty
from offline_to_online.learning.replay import Replay, Sampler, replay_for
from offline_to_online.learning.training import train
from offline_to_online.plugins import module_for
from offline_to_online.support.behaviour import BehaviourConfig
from offline_to_online.support.penalty import SupportPenalty

BATCH, HIDDEN = 256, (256, 256)
THREADS = (1, 2)
OURS, THEIRS, BARE_TORCH, PRODUCTS = "ours", "d3rlpy", "bare torch", "products"
PENALTY_UPDATES = 20  # what the density has learned does not change what it costs


def measured_config(name: str) -> Any:
    """An algorithm's Config with the sizes that all are measured at, and past what it does only at first."""
    config = module_for("algorithms", name).Config()
    sizes = {"batch_size": BATCH, "hidden_units": HIDDEN, "cloning_updates": 0}
    known = {each.name for each in dataclasses.fields(config)}
    return dataclasses.replace(config, **{key: value for key, value in sizes.items() if key in known})


def made_learner(name: str, config: Any, episodes: Sequence[Episode], data: Replay, device: str = "cpu") -> Learner:
    """A learner as the stage ``train`` makes it, with a penalty or the data where it wants them."""
    algorithm = module_for("algorithms", name)
    more: dict[str, Any] = {"penalty": made_penalty(tuple(episodes[:4]))} if needs_penalty(algorithm) else {}
    if needs_data(algorithm):
        more["data"] = data
    learner: Learner = algorithm.make(
        config,
        observation=OBSERVATION,
        action=ACTION,
        normaliser=Normaliser.from_episodes(episodes),
        seed=SEED,
        device=device,
        **more,
    )
    return learner


@functools.cache
def made_penalty(episodes: tuple[Episode, ...]) -> SupportPenalty:
    """The support penalty, of the size that params.yaml gives it."""
    return SupportPenalty.fit(episodes, dataclasses.replace(BehaviourConfig(), updates=PENALTY_UPDATES), SEED)


class Ours:
    """One of our learners and what it learns from, computed on so many threads (``threads:`` of params.yaml)."""

    def __init__(self, learner: Learner, sampler: Sampler, device: str = "cpu", *, count: int = 1) -> None:
        self._learner, self._sampler, self._device, self._threads = learner, sampler, device, count
        self._generator = torch.Generator(device).manual_seed(SEED)

    def run(self, updates: int) -> float:
        """Seconds of so many updates by ``training.train``."""
        started = time.perf_counter()
        train(
            self._learner,
            self._sampler,
            updates=updates,
            batch_size=BATCH,
            generator=self._generator,
            threads=self._threads,
        )
        self._finish()
        return time.perf_counter() - started

    def draw(self, batches: int) -> float:
        """Seconds of drawing so many batches, without learning from them."""
        started = time.perf_counter()
        with threads(1):
            for _ in range(batches):
                self._sampler.sample(BATCH, self._generator)
        return time.perf_counter() - started

    def _finish(self) -> None:
        if self._device != "cpu":
            torch.cuda.synchronize()


def sides_of(name: str, episodes: Sequence[Episode], dataset: Any, counts: Sequence[int] = THREADS) -> dict[Side, Run]:
    """All that an algorithm is measured beside.

    Args:
        name: of our algorithm.
        episodes: what all learn from.
        dataset: the same for d3rlpy.
        counts: of torch's threads, each for all sides; 1 is one of them.
    """
    config, sides = measured_config(name), dict[Side, Run]()
    for count in counts:
        # A learner for each count, so that none goes on where another stopped.
        sides[Side(OURS, count)] = our_side(name, config, episodes, count=count).run
        if name in PEERS:
            sides[Side(THEIRS, count)] = Peer(peer_config(name, config), dataset).run
        if name in BARE:
            sides[Side(BARE_TORCH, count)] = BARE[name](table_of(episodes), config).run
        if name in BOUNDS:
            with threads(count):  # which way of multiplying is the quickest depends on them
                sides[Side(PRODUCTS, count)] = Products(BOUNDS[name](config, OBSERVATIONS, ACTIONS)).run
    return sides


def our_side(name: str, config: Any, episodes: Sequence[Episode], device: str = "cpu", *, count: int = 1) -> Ours:
    """A learner of ours and a replay of those episodes, on a device or on so many threads."""
    replay = replay_for(config, OBSERVATIONS, ACTIONS, device=device)
    replay.extend(episodes)
    return Ours(made_learner(name, config, episodes, replay, device), replay, device, count=count)


def dataset_of(episodes: Sequence[Episode]) -> Any:
    """The episodes for d3rlpy, with the global generators put where a run always begins."""
    np.random.seed(SEED)  # d3rlpy draws its batches from this one
    torch.manual_seed(SEED)
    return their_dataset(episodes)
