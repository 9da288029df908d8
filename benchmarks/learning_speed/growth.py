"""What more data costs: an update from a larger replay, and an online episode after more of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.learning_speed.contenders import BATCH, Ours, made_learner, measured_config
from benchmarks.learning_speed.made_up import SEED, filled, made_up_episode, made_up_episodes
from benchmarks.learning_speed.timing import Interval, Side, ratio, take_turns
from offline_to_online.learning.learner import Learner
from offline_to_online.learning.replay import Mixture, Replay
from offline_to_online.learning.training import train

CHEAPEST = "bc"  # the algorithm whose update costs least, so that what a batch costs shows most
NORMALISED_BY = 2000  # transitions
LONG, ONLINE = 1000, 50  # steps of the episodes of a large replay, and of an online one, which has as many updates


def replay_rows(transitions: Sequence[int], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Drawing a batch, and drawing one and learning from it, at each number of transitions, taking turns."""
    replays = {size: filled(size, LONG) for size in transitions}
    sides = {size: Ours(_cheapest(replay), replay) for size, replay in replays.items()}
    draws = {Side(str(size), 1): one.draw for size, one in sides.items()}
    updates = {Side(str(size), 1): one.run for size, one in sides.items()}
    drawn = take_turns(draws, rounds=rounds, seconds=seconds / 4)
    learned = take_turns(updates, rounds=rounds, seconds=seconds)
    smallest = Side(str(min(transitions)), 1)
    return [
        {
            "part": "replay",
            "algorithm": CHEAPEST,
            "transitions": size,
            "sample_us": 1e6 * Interval.of(drawn[side]).median,
            "sample_over_smallest": ratio(drawn[side], drawn[smallest]),
            "update_us": 1e6 * Interval.of(learned[side]).median,
            "update_over_smallest": ratio(learned[side], learned[smallest]),
        }
        for size, side in ((size, Side(str(size), 1)) for size in transitions)
    ]


def online_rows(before: Sequence[int], logged: int, rounds: int) -> list[dict[str, Any]]:
    """Appending an episode and updating from half-and-half batches once a step, after so many episodes.

    Args:
        before: numbers of online episodes, one replay each; every round adds one to each.
        logged: transitions of the offline half.
        rounds: measured, after one that is not.
    """
    offline, rng = filled(logged, LONG), np.random.default_rng(SEED)
    learner = _cheapest(offline)
    online = {count: filled(count * ONLINE, ONLINE) for count in before}
    generator = torch.Generator().manual_seed(SEED)
    appended: dict[int, list[float]] = {count: [] for count in before}
    whole: dict[int, list[float]] = {count: [] for count in before}
    for turn in range(rounds + 1):
        for count in list(before)[:: -1 if turn % 2 else 1]:
            seconds = _online_episode(learner, offline, online[count], generator, rng)
            appended[count].append(seconds[0])
            whole[count].append(sum(seconds))
    smallest = min(before)
    return [
        {
            "part": "online episode",
            "algorithm": CHEAPEST,
            "episodes": count,
            "append_ms": 1e3 * Interval.of(appended[count][1:]).median,
            "episode_ms": 1e3 * Interval.of(whole[count][1:]).median,
            "over_smallest": ratio(whole[count][1:], whole[smallest][1:]),
        }
        for count in before
    ]


def _cheapest(data: Replay) -> Learner:
    return made_learner(CHEAPEST, measured_config(CHEAPEST), made_up_episodes(NORMALISED_BY), data)


def _online_episode(
    learner: Learner, offline: Replay, online: Replay, generator: torch.Generator, rng: np.random.Generator
) -> tuple[float, float]:
    """Seconds of appending a new episode, and of its updates."""
    episode = made_up_episode(rng, ONLINE)
    started = time.perf_counter()
    online.append(episode)
    between = time.perf_counter()
    mixture = Mixture(offline=offline, online=online, online_share=0.5)
    train(learner, mixture, updates=len(episode), batch_size=BATCH, generator=generator)
    return between - started, time.perf_counter() - between
