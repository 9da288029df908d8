"""Logged steps in contiguous tensors, from which batches are gathered by index.

An episode of T steps lies as T+1 consecutive observation rows; a step knows its own row, and its next
observation is the row after it. So a batch can never mix two episodes, and the last step's next
observation is the episode's own final one. An episode that ran out of time is bootstrapped
(``terminals`` 0), one that ended by the task's own rule is not (``terminals`` 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError, TrainingError

SMALLEST_CAPACITY = 1024


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Transitions (s, a, r, s', terminal) in robot units, float32.

    Attributes:
        observations: shape (N, O).
        actions: shape (N, A), the executed ones.
        rewards: shape (N, 1).
        next_observations: shape (N, O).
        terminals: shape (N, 1); 1 where the task ended, so that nothing is bootstrapped.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminals: Tensor

    def __len__(self) -> int:
        return len(self.actions)


class Sampler(Protocol):
    """Whatever batches can be drawn from."""

    def __len__(self) -> int:
        """Number of steps it draws from."""

    def sample(self, size: int, generator: torch.Generator) -> Batch:
        """``size`` transitions drawn uniformly, with replacement."""


class Replay:
    """Steps of episodes, appended in amortised constant time, sampled uniformly.

    Args:
        observation_size: O.
        action_size: A.
        capacity_hint: steps to make room for at once; it grows beyond that by doubling.
    """

    def __init__(self, observation_size: int, action_size: int, capacity_hint: int = 0) -> None:
        capacity = max(capacity_hint, SMALLEST_CAPACITY)
        self.observation_size, self.action_size = observation_size, action_size
        self.episodes = 0
        self._steps = self._rows = 0
        self._observations = torch.empty(capacity, observation_size)
        self._actions = torch.empty(capacity, action_size)
        self._rewards = torch.empty(capacity, 1)
        self._terminals = torch.empty(capacity, 1)
        self._row_of_step = torch.empty(capacity, dtype=torch.int64)

    def __len__(self) -> int:
        return self._steps

    def append(self, episode: Episode) -> None:
        """Add the steps of one episode.

        Raises:
            DataError: it is empty, its sizes are not the replay's, or it holds NaN or infinity.
        """
        self._check(episode)
        steps, rows = self._steps + len(episode), self._rows + len(episode) + 1
        self._reserve(steps, rows)
        new = slice(self._steps, steps)
        self._observations[self._rows : rows] = _tensor(episode.observations)
        self._actions[new] = _tensor(episode.actions)
        self._rewards[new, 0] = _tensor(episode.rewards)
        self._terminals[new] = 0.0
        self._terminals[steps - 1] = float(episode.terminated)
        self._row_of_step[new] = torch.arange(self._rows, rows - 1)
        self._steps, self._rows = steps, rows
        self.episodes += 1

    def extend(self, episodes: Iterable[Episode]) -> None:
        """Add episodes in order; raises as ``append`` does, keeping those before."""
        for episode in episodes:
            self.append(episode)

    def gather(self, steps: Tensor) -> Batch:
        """The transitions of the given steps, int64 (N,), counted in the order they were appended."""
        row = self._row_of_step.index_select(0, steps)
        return Batch(
            observations=self._observations.index_select(0, row),
            actions=self._actions.index_select(0, steps),
            rewards=self._rewards.index_select(0, steps),
            next_observations=self._observations.index_select(0, row + 1),
            terminals=self._terminals.index_select(0, steps),
        )

    def sample(self, size: int, generator: torch.Generator) -> Batch:
        """``size`` transitions drawn uniformly with replacement.

        Raises:
            TrainingError: there is none to draw.
        """
        if not self._steps:
            raise TrainingError("no transitions to draw from", limit="at least 1", remedy="append an episode first")
        return self.gather(torch.randint(self._steps, (size,), generator=generator))

    def _check(self, episode: Episode) -> None:
        steps = len(episode)
        expected = {
            "observations": (steps + 1, self.observation_size),
            "actions": (steps, self.action_size),
            "rewards": (steps,),
        }
        where = f"episode {self.episodes} of the replay"
        if not steps:
            raise DataError("an empty episode", where=where, limit="at least 1 step", remedy="leave it out")
        for name, shape in expected.items():
            array = getattr(episode, name)
            if array.shape != shape:
                raise DataError(
                    f"{name} of shape {array.shape}", where=where, limit=f"{shape}", remedy="check the schema"
                )
            if not np.isfinite(array).all():
                raise DataError(
                    f"{name} hold NaN or infinity", where=where, limit="finite numbers", remedy="leave it out"
                )

    def _reserve(self, steps: int, rows: int) -> None:
        self._observations = _grown(self._observations, self._rows, rows)
        for name in ("_actions", "_rewards", "_terminals", "_row_of_step"):
            setattr(self, name, _grown(getattr(self, name), self._steps, steps))


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Batches of which a fixed share comes from online steps and the rest from the logs.

    While there are no online steps yet (or no logged ones), all of the batch comes from the other side.

    Attributes:
        offline: the logged steps.
        online: the steps of this run.
        online_share: share of a batch that is drawn online, in [0, 1], rounded to whole transitions.
    """

    offline: Sampler
    online: Sampler
    online_share: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.online_share <= 1.0:
            raise TrainingError(f"an online share of {self.online_share:g}", limit="between 0 and 1", remedy="mend it")

    def __len__(self) -> int:
        return len(self.offline) + len(self.online)

    def sample(self, size: int, generator: torch.Generator) -> Batch:
        """``size`` transitions, the logged ones first.

        Raises:
            TrainingError: both sides are empty.
        """
        online = self._online_count(size)
        parts = [
            side.sample(count, generator)
            for side, count in ((self.offline, size - online), (self.online, online))
            if count
        ]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _online_count(self, size: int) -> int:
        if not len(self.online):
            return 0
        return size if not len(self.offline) else round(size * self.online_share)


def _joined(parts: list[Batch]) -> Batch:
    return Batch(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Batch)})


def _grown(tensor: Tensor, used: int, needed: int) -> Tensor:
    if needed <= len(tensor):
        return tensor
    grown = tensor.new_empty((max(needed, 2 * len(tensor)), *tensor.shape[1:]))
    grown[:used] = tensor[:used]
    return grown


def _tensor(array: Array) -> Tensor:
    # A copy of its own: an episode's arrays may be read-only, which torch warns of.
    return torch.from_numpy(np.array(array, dtype=np.float32))
