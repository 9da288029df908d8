"""A log split by episode, and its clean test steps with one kind of fault each, as the guard would see them.

Every faulty action lies inside the robot's bounds: what leaves them needs no detector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.support.neighbours import Whitening

FAR, FIT = 0.12, 0.6  # shares: of all episodes those never reset to, and of the others those that are fitted on
FEWEST = 20  # faulty steps; a kind that changes fewer is left out
RESET = "never_reset_to"


@dataclass(frozen=True, kw_only=True)
class Split:
    """Episodes to fit on, clean ones to test on, and those that start where no other does."""

    fit: tuple[Episode, ...]
    test: tuple[Episode, ...]
    far: tuple[Episode, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Steps:
    """Observations (N, O) and the actions (N, A) executed there."""

    observations: Array
    actions: Array

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True, kw_only=True, eq=False)
class Recorded:
    """Some steps of recorded episodes, and what there is to know about the robot.

    Attributes:
        episodes: where the steps lie.
        episode, step: (N,), which episode and which step of it.
        low, high: (A,), the robot's bounds.
        spread: (A,), standard deviation of the whole log's actions.
    """

    episodes: tuple[Episode, ...]
    episode: Array
    step: Array
    low: Array
    high: Array
    spread: Array

    @cached_property
    def actions(self) -> Array:
        """As they were recorded, (N, A)."""
        return self.at(self.episode, self.step)

    @cached_property
    def lengths(self) -> Array:
        """Steps of every episode, (E,)."""
        return np.array([len(one) for one in self.episodes])

    def at(self, episode: Array, step: Array) -> Array:
        """Actions (N, A) executed at those steps."""
        starts = np.cumsum(self.lengths) - self.lengths
        chosen: Array = np.concatenate([one.actions for one in self.episodes])[starts[episode] + step]
        return chosen

    def clean(self) -> Steps:
        """The steps as they were recorded."""
        seen = [self.episodes[e].observations[s] for e, s in zip(self.episode, self.step, strict=True)]
        return Steps(observations=np.stack(seen), actions=self.actions)


Fault = Callable[[Recorded, np.random.Generator], Array]


def split(episodes: Sequence[Episode], rng: np.random.Generator) -> Split:
    """By episode. Those never reset to are the farthest by first observation along its leading principal direction.

    Which end of that direction, and what the rest is for, is drawn.
    """
    first = np.stack([one.observations[0] for one in episodes])
    deviations = Whitening.from_rows(np.concatenate([one.observations for one in episodes])).apply(first)
    deviations -= deviations.mean(axis=0)
    leading = np.linalg.svd(deviations, full_matrices=False)[2][0]
    order = np.argsort(deviations @ leading * rng.choice((-1, 1)), kind="stable")
    far = max(2, round(FAR * len(episodes)))
    rest = rng.permutation(order[:-far])
    cut = round(FIT * len(rest))
    parts = rest[:cut], rest[cut:], order[-far:]
    fit, test, away = (tuple(episodes[i] for i in sorted(part)) for part in parts)
    return Split(fit=fit, test=test, far=away)


def some_of(
    episodes: Sequence[Episode], low: Array, high: Array, spread: Array, most: int, rng: np.random.Generator
) -> Recorded:
    """At most so many steps of the episodes, drawn."""
    lengths = [len(one) for one in episodes]
    episode = np.repeat(np.arange(len(episodes)), lengths)
    step = np.concatenate([np.arange(length) for length in lengths])
    kept = np.sort(rng.choice(len(step), min(most, len(step)), replace=False))
    return Recorded(episodes=tuple(episodes), episode=episode[kept], step=step[kept], low=low, high=high, spread=spread)


def broken(recorded: Recorded, rng: np.random.Generator) -> dict[str, Steps]:
    """Every kind of fault in the same steps, each with random numbers of its own.

    Steps that a fault leaves as they were (an action that is saturated already) are not faulty, and are left out.
    """
    clean, kinds = recorded.clean(), faults(recorded.actions.shape[1])
    out = dict[str, Steps]()
    for (kind, fault), own in zip(kinds.items(), rng.spawn(len(kinds)), strict=True):
        actions = np.clip(fault(recorded, own), recorded.low, recorded.high).astype(np.float32)
        changed = np.any(actions != clean.actions, axis=1)
        if changed.sum() >= FEWEST:
            out[kind] = Steps(observations=clean.observations[changed], actions=actions[changed])
    return out


def faults(dimensions: int) -> Mapping[str, Fault]:
    """The kinds by name; those that need another dimension only where there is one."""
    return {kind: fault for kind, fault in FAULTS.items() if dimensions > 1 or kind not in OF_SEVERAL}


def random(recorded: Recorded, rng: np.random.Generator) -> Array:
    """Uniform in the bounds."""
    return rng.uniform(recorded.low, recorded.high, recorded.actions.shape)


def noise(size: float) -> Fault:
    """Gaussian noise, in standard deviations of the log's actions."""
    return lambda recorded, rng: recorded.actions + size * recorded.spread * rng.standard_normal(recorded.actions.shape)


def scaled(factor: float) -> Fault:
    """The command about the middle of the bounds, times a factor; -1 is the wrong sign."""

    def fault(recorded: Recorded, rng: np.random.Generator) -> Array:
        middle = (recorded.low + recorded.high) / 2
        return middle + factor * (recorded.actions - middle)

    return fault


def unit_error(recorded: Recorded, rng: np.random.Generator) -> Array:
    """Centimetres taken for metres."""
    return 0.01 * recorded.actions


def permuted(recorded: Recorded, rng: np.random.Generator) -> Array:
    """Every dimension gets its neighbour's command, as a share of its own interval."""
    width = recorded.high - recorded.low
    shares = np.roll((recorded.actions - recorded.low) / width, 1, axis=1)
    return np.asarray(recorded.low + width * shares)


def late(steps: int) -> Fault:
    """What was commanded so many steps before in the episode, at its beginning the first command."""
    return lambda recorded, rng: recorded.at(recorded.episode, np.maximum(recorded.step - steps, 0))


def saturated(recorded: Recorded, rng: np.random.Generator) -> Array:
    """Every dimension at the bound that it is nearer to."""
    middle = (recorded.low + recorded.high) / 2
    return np.where(recorded.actions > middle, recorded.high, recorded.low)


def other_task(recorded: Recorded, rng: np.random.Generator) -> Array:
    """What was commanded in another test episode, as far on its way."""
    lengths = recorded.lengths
    another = (np.arange(len(lengths)) + rng.integers(1, len(lengths), len(lengths))) % len(lengths)
    episode = another[recorded.episode]
    return recorded.at(episode, recorded.step * lengths[episode] // lengths[recorded.episode])


def one_joint(recorded: Recorded, rng: np.random.Generator) -> Array:
    """One dimension, another at each step, uniform in its bounds; the others as they were."""
    actions, rows = recorded.actions.copy(), np.arange(len(recorded.actions))
    chosen = rng.integers(actions.shape[1], size=len(rows))
    actions[rows, chosen] = random(recorded, rng)[rows, chosen]
    return actions


FAULTS: Mapping[str, Fault] = {
    "random": random,
    "noise_0.1": noise(0.1),
    "noise_0.3": noise(0.3),
    "noise_1.0": noise(1.0),
    "sign_flip": scaled(-1.0),
    "scale_half": scaled(0.5),
    "scale_double": scaled(2.0),
    "unit_error": unit_error,
    "permuted": permuted,
    "late_5": late(5),
    "late_20": late(20),
    "saturated": saturated,
    "other_task": other_task,
    "one_joint": one_joint,
}
OF_SEVERAL = ("permuted", "one_joint")  # of one dimension the latter is ``random``
KINDS = (*FAULTS, RESET)
