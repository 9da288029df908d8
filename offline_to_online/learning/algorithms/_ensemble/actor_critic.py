"""All of a learner with a deterministic actor and an ensemble of critics, but for what it learns by."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from offline_to_online.dataset.files import replacing
from offline_to_online.dataset.spec import ActionSchema, Array, ObservationSchema
from offline_to_online.learning.algorithms._ensemble.networks import Actor, CriticEnsemble
from offline_to_online.learning.averaged import AveragedPolicy
from offline_to_online.learning.flat_adam import FlatAdam
from offline_to_online.learning.learner import Normaliser, below, check_rate_factors, check_same
from offline_to_online.learning.policy import add_noise, centre_and_half, to_bounds
from offline_to_online.learning.policy_file import Architecture, policy_bytes


class Settings(Protocol):
    """What the networks need of an algorithm's Config; its docstring explains each."""

    @property
    def hidden_units(self) -> tuple[int, ...]:
        """Width of each hidden layer."""

    @property
    def critics(self) -> int:
        """How many."""

    @property
    def actor_learning_rate(self) -> float:
        """Of Adam."""

    @property
    def critic_learning_rate(self) -> float:
        """Of Adam."""

    @property
    def average_decay(self) -> float:
        """Of the weights that act."""

    @property
    def exploration_std(self) -> float:
        """As a share of half of each action's range."""


class ActorCritic:
    """Robot units outside; normalised observations and actions in [-1, 1] inside.

    Attributes:
        actor, critics, targets: the networks; ``targets`` follow ``critics``.
        average: the actor's weights that act, explore and are exported.
        adams: ``actor`` and ``critic``; the critics' step can be taken back.
        memory: what else the algorithm must remember, by name; part of the state.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        observation: ObservationSchema,
        action: ActionSchema,
        normaliser: Normaliser,
        seed: int,
        memory: Mapping[str, Tensor],
    ) -> None:
        self._settings, self._observation, self._action, self._normaliser = settings, observation, action, normaliser
        self._low, self._high = torch.from_numpy(action.low), torch.from_numpy(action.high)
        self._centre, self._half = centre_and_half(self._low, self._high)
        generator, hidden = torch.Generator().manual_seed(seed), settings.hidden_units
        self.actor = Actor(observation.size, hidden, action.size, generator)
        self.critics = CriticEnsemble(settings.critics, observation.size + action.size, hidden, generator)
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        self.adams = {
            "actor": FlatAdam([self.actor], settings.actor_learning_rate),
            "critic": FlatAdam([self.critics], settings.critic_learning_rate),
        }
        self.adams["critic"].make_undoable()
        self.average = AveragedPolicy(self.actor, settings.average_decay)
        self.memory = dict(memory)

    def act(self, observations: Array) -> Array:
        """Greedy actions, float32 (N, A), in robot units, for observations (N, O)."""
        with torch.inference_mode():
            squashed = self.average(self.normalised(torch.from_numpy(np.array(observations, dtype=np.float32))))
            actions: Array = to_bounds(squashed, self._centre, self._half, self._low, self._high).numpy()
        return actions

    def explore(self, observations: Array, rng: np.random.Generator) -> Array:
        """Greedy actions plus the configured noise, clipped to the bounds; float32 (N, A)."""
        return add_noise(self.act(observations), self._noise_std().numpy(), self._action.low, self._action.high, rng)

    def disagreement(self, observations: Array, actions: Array) -> Array:
        """Standard deviation of the critics' values, float32 (N,), in units of the return.

        Args:
            observations: (N, O), robot units.
            actions: (N, A), robot units.
        """
        rows = (torch.from_numpy(np.array(part, dtype=np.float32)) for part in (observations, actions))
        with torch.inference_mode():
            values = self.critics(self.normalised(next(rows)), self.squashed(next(rows)))
            spread: Array = values.std(dim=0).numpy()
        return spread

    def normalised(self, observations: Tensor) -> Tensor:
        """Observations (N, O) as the networks see them."""
        return self._normaliser.apply(observations)

    def squashed(self, actions: Tensor) -> Tensor:
        """Actions (N, A) in robot units as the networks see them."""
        return (actions - self._centre) / self._half

    def in_robot_units(self, squashed: Tensor) -> Tensor:
        """The inverse of ``squashed``, with its gradient."""
        return squashed * self._half + self._centre

    def descend(self, role: str, loss: Tensor) -> None:
        """One step of the optimiser of that role down a loss.

        Raises:
            TrainingError: the gradient is not finite; nothing was moved.
        """
        self.adams[role].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.adams[role].step()

    @contextlib.contextmanager
    def frozen_critics(self) -> Iterator[None]:
        """Without gradients of the critics' own weights, which a step of the actor does not need."""
        self.critics.requires_grad_(False)
        try:
            yield
        finally:
            self.critics.requires_grad_(True)

    def scale_learning_rates(self, *, actor: float = 1.0, critic: float = 1.0) -> None:
        """As ``Learner.scale_learning_rates``.

        Raises:
            TrainingError: a factor is negative or not finite.
        """
        check_rate_factors(actor=actor, critic=critic)
        self.adams["actor"].scale(actor)
        self.adams["critic"].scale(critic)

    def state(self) -> dict[str, Tensor]:
        """Networks, targets, moments, rates, normaliser and memory, by name."""
        state = {f"network.{name}": tensor.detach().clone() for name, tensor in self._network_tensors().items()}
        for role, adam in self.adams.items():
            state |= {f"optimiser.{role}.{name}": tensor for name, tensor in adam.state().items()}
        state |= {f"normaliser.{name}": tensor for name, tensor in self._normaliser.to_tensors().items()}
        return state | {f"memory.{name}": tensor.clone() for name, tensor in self.memory.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from ``state()``; raises as ``Learner.restore`` does, before anything is changed."""
        check_same(self.state(), state)
        with torch.no_grad():
            for name, tensor in self._network_tensors().items():
                tensor.copy_(state[f"network.{name}"])
        for role, adam in self.adams.items():
            adam.restore(below(state, f"optimiser.{role}."))
        self._normaliser = Normaliser.from_tensors(below(state, "normaliser."))
        self.memory = {name: tensor.clone() for name, tensor in below(state, "memory.").items()}

    def export(self, path: Path) -> None:
        """Write ``policy.safetensors``, identical to ``act`` and ``explore``."""
        architecture = Architecture(
            observation=self._observation.names,
            action=self._action.names,
            hidden=tuple((units, "relu") for units in self._settings.hidden_units),
        )
        tensors = self._normaliser.to_tensors()
        for name, tensor in self.average.tensors().items():
            kind, _, layer = name.partition(".")
            tensors[f"layer.{layer}.{'weight' if kind == 'weights' else 'bias'}"] = tensor
        tensors |= {"action.low": self._low, "action.high": self._high, "action.std": self._noise_std()}
        content = policy_bytes(architecture, tensors)
        with replacing(path) as partial:
            partial.write_bytes(content)

    def _noise_std(self) -> Tensor:
        return self._half * self._settings.exploration_std

    def _network_tensors(self) -> dict[str, Tensor]:
        networks = {"actor": self.actor, "critics": self.critics, "targets": self.targets}
        tensors = {f"average.{name}": tensor for name, tensor in self.average.tensors().items()}
        for role, network in networks.items():
            tensors |= {f"{role}.{name}": tensor for name, tensor in network.state_dict(keep_vars=True).items()}
        return tensors
