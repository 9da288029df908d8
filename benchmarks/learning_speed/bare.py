"""What anyone would write in plain torch: modules, Adam and batches gathered by index; no checks, nothing else."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from offline_to_online.dataset.episode import Episode

Steps = dict[str, Tensor]
"""Rows of a table of transitions, by column."""


def table_of(episodes: Sequence[Episode]) -> Steps:
    """All transitions side by side."""
    columns = {
        "observations": [one.observations[:-1] for one in episodes],
        "following": [one.observations[1:] for one in episodes],
        "actions": [one.actions for one in episodes],
        "rewards": [one.rewards[:, None] for one in episodes],
        "terminals": [np.arange(len(one))[:, None] == len(one) - 1 + (not one.terminated) for one in episodes],
    }
    return {name: torch.from_numpy(np.concatenate(parts).astype(np.float32)) for name, parts in columns.items()}


class Bare:
    """A loop over batches; subclasses say what an update is.

    Args:
        steps: from ``table_of``.
        batch_size: transitions of an update.
    """

    def __init__(self, steps: Steps, batch_size: int) -> None:
        self._steps, self._batch_size = steps, batch_size

    def run(self, updates: int) -> float:
        """Seconds of so many updates."""
        started = time.perf_counter()
        for _ in range(updates):
            drawn = torch.randint(len(self._steps["actions"]), (self._batch_size,))
            self.update({name: column[drawn] for name, column in self._steps.items()})
        return time.perf_counter() - started

    def update(self, batch: Steps) -> None:
        """One gradient step."""
        raise NotImplementedError


class BareBC(Bare):
    """Behaviour cloning with a deterministic policy."""

    def __init__(self, steps: Steps, config: Any) -> None:
        super().__init__(steps, config.batch_size)
        widths = (steps["observations"].shape[1], *config.hidden_units, steps["actions"].shape[1])
        self._policy = nn.Sequential(*_perceptron(widths), nn.Tanh())
        self._adam = _adam(self._policy.parameters(), config.learning_rate)

    def update(self, batch: Steps) -> None:
        """Squared error of the action."""
        loss = (self._policy(batch["observations"]) - batch["actions"]).square().mean()
        _descend(self._adam, loss)


class BareIQL(Bare):
    """Implicit Q-learning: a Gaussian policy whose deviations are parameters, critics and a value function."""

    def __init__(self, steps: Steps, config: Any) -> None:
        super().__init__(steps, config.batch_size)
        self._config, observations, actions = config, steps["observations"].shape[1], steps["actions"].shape[1]
        hidden = config.hidden_units
        self._mean = nn.Sequential(*_perceptron((observations, *hidden, actions)))
        self._log_std = nn.Parameter(torch.zeros(actions))
        sizes = (observations + actions, *hidden, 1)
        self._critics = nn.ModuleList(nn.Sequential(*_perceptron(sizes)) for _ in range(config.critics))
        self._targets = copy.deepcopy(self._critics).requires_grad_(False)
        self._value = nn.Sequential(*_perceptron((observations, *hidden, 1)))
        self._actor_adam = _adam([*self._mean.parameters(), self._log_std], config.actor_learning_rate)
        values = [*self._critics.parameters(), *self._value.parameters()]
        self._critic_adam = _adam(values, config.critic_learning_rate)

    def update(self, batch: Steps) -> None:
        """The values' step, the policy's, and the targets'."""
        seen = torch.cat([batch["observations"], batch["actions"]], dim=1)
        with torch.no_grad():
            logged = torch.stack([target(seen) for target in self._targets]).amin(dim=0)
        _descend(self._critic_adam, self._value_loss(batch, seen, logged))
        _descend(self._actor_adam, self._policy_loss(batch, logged))
        with torch.no_grad():
            torch._foreach_lerp_(list(self._targets.parameters()), list(self._critics.parameters()), self._config.tau)

    def _value_loss(self, batch: Steps, seen: Tensor, logged: Tensor) -> Tensor:
        with torch.no_grad():
            later = self._value(batch["following"])
            goal = batch["rewards"] + self._config.gamma * (1 - batch["terminals"]) * later
        loss = torch.stack([(critic(seen) - goal).square().mean() for critic in self._critics]).sum()
        apart = logged - self._value(batch["observations"])
        weight = (self._config.expectile - (apart < 0).float()).abs()
        both: Tensor = loss + (weight * apart.square()).mean()
        return both

    def _policy_loss(self, batch: Steps, logged: Tensor) -> Tensor:
        with torch.no_grad():
            advantage = logged - self._value(batch["observations"])
            weight = (self._config.temperature * advantage).exp().clamp(max=self._config.max_weight)
        apart = (batch["actions"] - self._mean(batch["observations"]).tanh()) / self._log_std.exp()
        loss: Tensor = (weight * (0.5 * apart.square() + self._log_std)).mean()
        return loss


BARE = {"bc": BareBC, "iql": BareIQL}
"""Plain implementations, by our algorithm's name; made from a table of steps and our Config."""


def _perceptron(widths: Sequence[int]) -> list[nn.Module]:
    layers = [layer for i, o in itertools.pairwise(widths) for layer in (nn.Linear(i, o), nn.ReLU())]
    return list(layers[:-1])


def _adam(parameters: Any, learning_rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=learning_rate, fused=True)


def _descend(adam: torch.optim.Adam, loss: Tensor) -> None:
    adam.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    adam.step()
