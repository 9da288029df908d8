"""Logged steps in contiguous tensors, from which batches are gathered by index.

An episode of T steps lies as T+1 consecutive observation rows; a step knows its own row, and the row and the step that
its window of n steps leads to, which are never beyond the episode's last. So a batch can never mix two episodes, and
the last step's next observation is the episode's own final one. An episode that ran out of time is bootstrapped
(``terminals`` 0), one that ended by the task's own rule is not (``terminals`` 1).

All that a batch holds is computed when its episode is appended: drawing one is a few gathers, whatever n is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError, TrainingError
from offline_to_online.learning.returns import returns_to_go, summed, windows

SMALLEST_CAPACITY = 1024
NUMBERS = ("rewards", "terminals", "intervals", "returns_to_go")
PLACES = ("row", "row after the window", "step after the window")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Transitions (s, a, r, s', terminal) in robot units, float32, over n steps or fewer where the episode ends.

    Attributes:
        observations: shape (N, O).
        actions: shape (N, A), the executed ones.
        rewards: shape (N, 1); over several steps their discounted sum.
        next_observations: shape (N, O), after those steps.
        terminals: shape (N, 1); 1 where the task ended, so that nothing is bootstrapped.
        intervals: shape (N, 1); how many steps lie between, so that what follows counts gamma ** intervals.
        returns_to_go: shape (N, 1); discounted sum of this and all later rewards of the episode. Where only time ran
            out, its last reward is taken to go on for ever, as a value that is bootstrapped there means it.
        next_actions: shape (N, A), the executed ones at ``next_observations``; where the episode ended there and none
            was taken, its last one once more.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminals: Tensor
    intervals: Tensor
    returns_to_go: Tensor
    next_actions: Tensor

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
        n_step: steps that a transition spans, at least 1; fewer where its episode ends.
        gamma: discount per step, in [0, 1]. At 1 a reward that goes on for ever has no finite sum: there the
            returns-to-go of an episode that ran out of time hold what was logged and nothing more.
        device: where the tensors lie, and where batches are drawn.

    Raises:
        TrainingError: ``n_step`` or ``gamma`` is out of range.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        capacity_hint: int = 0,
        *,
        n_step: int = 1,
        gamma: float = 0.99,
        device: torch.device | str = "cpu",
    ) -> None:
        if n_step < 1 or not 0.0 <= gamma <= 1.0:
            limit = "n_step at least 1, gamma between 0 and 1"
            raise TrainingError(f"n_step {n_step}, gamma {gamma:g}", where="replay", limit=limit, remedy="mend it")
        capacity = max(capacity_hint, SMALLEST_CAPACITY)
        self.observation_size, self.action_size = observation_size, action_size
        self.n_step, self.gamma, self.device = n_step, gamma, torch.device(device)
        self.episodes = 0
        self._steps = self._rows = 0
        self._observations = torch.empty(capacity, observation_size, device=self.device)
        self._actions = torch.empty(capacity, action_size, device=self.device)
        # A row of them for each name, so that one gather brings all, each contiguous.
        self._numbers = torch.empty(len(NUMBERS), capacity, device=self.device)
        self._places = torch.empty(len(PLACES), capacity, dtype=torch.int64, device=self.device)

    def __len__(self) -> int:
        return self._steps

    def append(self, episode: Episode) -> None:
        """Add the steps of one episode.

        Raises:
            DataError: it is empty, its sizes are not the replay's, or it or what its rewards add up to holds NaN or
                infinity.
        """
        self._check(episode)
        numbers = self._numbers_of(episode)
        steps, rows = self._steps + len(episode), self._rows + len(episode) + 1
        self._reserve(steps, rows)
        new = slice(self._steps, steps)
        self._observations[self._rows : rows] = _tensor(episode.observations)
        self._actions[new] = _tensor(episode.actions)
        self._numbers[:, new] = _tensor(numbers)
        self._places[:, new] = torch.from_numpy(self._places_of(len(episode)))
        self._steps, self._rows = steps, rows
        self.episodes += 1

    def extend(self, episodes: Iterable[Episode]) -> None:
        """Add episodes in order; raises as ``append`` does, keeping those before."""
        for episode in episodes:
            self.append(episode)

    @property
    def starts(self) -> Tensor:
        """The first step of each episode, int64 (episodes,), in the order they were appended."""
        # T steps lie as T+1 rows: a step's row runs ahead of the step by the number of episodes before it.
        before = self._places[0, : self._steps] - torch.arange(self._steps, device=self.device)
        return torch.searchsorted(before, torch.arange(self.episodes, device=self.device))

    def gather(self, steps: Tensor) -> Batch:
        """The transitions of the given steps, int64 (N,), counted in the order they were appended."""
        row, row_after, step_after = self._places.index_select(1, steps).unbind()
        rewards, terminals, intervals, returns_to_go = self._numbers.index_select(1, steps).unsqueeze(2).unbind()
        return Batch(
            observations=self._observations.index_select(0, row),
            actions=self._actions.index_select(0, steps),
            rewards=rewards,
            next_observations=self._observations.index_select(0, row_after),
            terminals=terminals,
            intervals=intervals,
            returns_to_go=returns_to_go,
            next_actions=self._actions.index_select(0, step_after),
        )

    def sample(self, size: int, generator: torch.Generator) -> Batch:
        """``size`` transitions drawn uniformly with replacement, by a generator on the replay's device.

        Raises:
            TrainingError: there is none to draw.
        """
        if not self._steps:
            raise TrainingError("no transitions to draw from", limit="at least 1", remedy="append an episode first")
        return self.gather(torch.randint(self._steps, (size,), generator=generator, device=self.device))

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

    def _numbers_of(self, episode: Episode) -> Array:
        """The rows of ``NUMBERS`` for each step, float32 (4, T), whatever n is in O(T)."""
        steps_left = np.arange(len(episode), 0, -1)
        window = windows(len(episode), self.n_step)
        terminals = (window == steps_left) & episode.terminated
        rewards = summed(episode.rewards, self.n_step, self.gamma)
        rows = np.stack([rewards, terminals, window, returns_to_go(episode, self.gamma)])
        with np.errstate(over="ignore"):  # what is too large for float32 is refused below
            numbers = rows.astype(np.float32)
        if not np.isfinite(numbers).all():
            raise DataError(
                f"rewards up to {np.abs(episode.rewards).max():g}",
                where=f"episode {self.episodes} of the replay",
                limit="a discounted sum that is finite in single precision",
                remedy="scale the rewards down, or leave the episode out",
            )
        return numbers

    def _places_of(self, steps: int) -> Array:
        """The rows of ``PLACES`` for each step of an episode to be appended, int64 (3, T)."""
        step = np.arange(steps)
        after = step + windows(steps, self.n_step)
        return np.stack([self._rows + step, self._rows + after, self._steps + np.minimum(after, steps - 1)])

    def _reserve(self, steps: int, rows: int) -> None:
        self._observations = _grown(self._observations, self._rows, rows)
        self._actions = _grown(self._actions, self._steps, steps)
        self._numbers = _grown(self._numbers, self._steps, steps, dim=1)
        self._places = _grown(self._places, self._steps, steps, dim=1)


def replay_for(
    config: Any, observation_size: int, action_size: int, capacity_hint: int = 0, device: torch.device | str = "cpu"
) -> Replay:
    """The replay that an algorithm's Config needs: with its ``n_step`` and ``gamma``, where it has them.

    One that values nothing (cloning) has neither; the numbers that it then finds in a batch are those of one step and
    a discount of 0.99.
    """
    return Replay(
        observation_size,
        action_size,
        capacity_hint,
        n_step=getattr(config, "n_step", 1),
        gamma=getattr(config, "gamma", 0.99),
        device=device,
    )


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


def _grown(tensor: Tensor, used: int, needed: int, dim: int = 0) -> Tensor:
    capacity = tensor.shape[dim]
    if needed <= capacity:
        return tensor
    shape = list(tensor.shape)
    shape[dim] = max(needed, 2 * capacity)
    grown = tensor.new_empty(shape)
    grown.narrow(dim, 0, used).copy_(tensor.narrow(dim, 0, used))
    return grown


def _tensor(array: Array) -> Tensor:
    # A copy of its own: an episode's arrays may be read-only, which torch warns of.
    return torch.from_numpy(np.array(array, dtype=np.float32))
