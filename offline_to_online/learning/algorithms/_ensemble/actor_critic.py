"""All of a learner with a deterministic actor and an ensemble of critics, but for what it learns by."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from offline_to_online.dataset.files import replacing
from offline_to_online.dataset.spec import ActionSchema, Array, ObservationSchema
from offline_to_online.learning.algorithms._ensemble.networks import Actor, CriticEnsemble
from offline_to_online.learning.flat_adam import LARGEST_GRADIENT, FlatAdam, one_vector
from offline_to_online.learning.learner import Normaliser, below, check_rate_factors, check_same
from offline_to_online.learning.policy import add_noise, centre_and_half, to_bounds
from offline_to_online.learning.policy_file import Architecture, adopted, policy_bytes


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
    def tau(self) -> float:
        """Share by which the target critics follow."""

    @property
    def exploration_std(self) -> float:
        """As a share of half of each action's range."""


class ActorCritic:
    """Robot units outside; normalised observations and actions in [-1, 1] inside. One run, or R of them in one batch.

    Everything inside has a first dimension of runs. What acts, explores and is exported is the first run; ``state`` and
    ``restore`` are of all of them.

    Attributes:
        runs: R, the number of seeds.
        device: that it learns on.
        actor, critics, targets: the networks; ``targets`` follow ``critics``.
        average: the actor's weights that act, explore and are exported.
        adams: ``actor`` and ``critic``.
        memory: what else the algorithm must remember, by name; part of the state.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        observation: ObservationSchema,
        action: ActionSchema,
        normaliser: Normaliser,
        seeds: Sequence[int],
        memory: Mapping[str, Tensor],
        device: str,
    ) -> None:
        self._settings, self._observation, self._action = settings, observation, action
        self.runs, self.device = len(seeds), torch.device(device)
        self._take(normaliser)
        self._low, self._high = torch.from_numpy(action.low), torch.from_numpy(action.high)
        self._centre, self._half = (part.to(device) for part in centre_and_half(self._low, self._high))
        generators, hidden = [torch.Generator().manual_seed(seed) for seed in seeds], settings.hidden_units
        self.actor = Actor(observation.size, hidden, action.size, generators).to(device)
        inputs = observation.size + action.size
        self.critics = CriticEnsemble(settings.critics, inputs, hidden, generators).to(device)
        self.average, self.targets = copy.deepcopy(self.actor), copy.deepcopy(self.critics)
        self._average, self._targets = (_still(network) for network in (self.average, self.targets))
        self.adams = {
            "actor": FlatAdam([self.actor], settings.actor_learning_rate),
            "critic": FlatAdam([self.critics], settings.critic_learning_rate),
        }
        self.memory = {name: tensor.to(device) for name, tensor in memory.items()}

    def act(self, observations: Array) -> Array:
        """Greedy actions, float32 (N, A), in robot units, for observations (N, O)."""
        rows = torch.from_numpy(np.array(observations, dtype=np.float32))
        with torch.inference_mode():
            x = self._normaliser.apply(rows)
            layers = self._layers()
            for weight, bias in layers[:-1]:
                x = torch.relu(linear(x, weight, bias))
            squashed = linear(x, *layers[-1]).tanh_()
            centre, half = self._centre.cpu(), self._half.cpu()
            actions: Array = to_bounds(squashed, centre, half, self._low, self._high).numpy()
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
        rows = [torch.from_numpy(np.array(part, dtype=np.float32)).to(self.device) for part in (observations, actions)]
        every = (self.runs, -1, -1)
        with torch.inference_mode():
            values = self.critics(self.normalised(rows[0]).expand(every), self.squashed(rows[1]).expand(every))
            spread: Array = values[0].std(dim=0).cpu().numpy()
        return spread

    def normalised(self, observations: Tensor) -> Tensor:
        """Observations (..., O) as the networks see them."""
        return observations.sub(self._mean).div_(self._std)

    def squashed(self, actions: Tensor) -> Tensor:
        """Actions (..., A) in robot units as the networks see them."""
        return (actions - self._centre) / self._half

    def in_robot_units(self, squashed: Tensor) -> Tensor:
        """The inverse of ``squashed``, with its gradient."""
        return squashed * self._half + self._centre

    def descend(self, loss: Tensor, roles: Sequence[str]) -> Tensor:
        """One step of all of these optimisers down one loss, or of none.

        Returns:
            Whether it was taken, a scalar: loss and gradients are finite, and not too large for Adam. It is decided on
            the device, so that nothing waits.
        """
        for role in roles:
            self.adams[role].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.stack([self.adams[role].squared_norm() for role in roles]).sum().sqrt()
        sound: Tensor = (norm < LARGEST_GRADIENT) & loss.detach().isfinite()
        for role in roles:
            self.adams[role].step_where(sound)
        return sound

    @torch.no_grad()
    def follow(self, sound: Tensor, policy_updates: Tensor | None) -> None:
        """What moves after a step that was taken: the target critics, and the average that acts.

        Args:
            sound: whether it was, a scalar.
            policy_updates: how many the policy has had in its life, this one included (scalar); None where it stayed.
                However large the decay, the average covers no more than about the last tenth of them.
        """
        self._targets.lerp_(self.adams["critic"].vector.data, self._settings.tau * sound)
        if policy_updates is not None:
            past = (policy_updates / (10.0 + policy_updates)).clamp(max=self._settings.average_decay)
            self._average.lerp_(self.adams["actor"].vector.data, (1.0 - past) * sound)

    def moving(self) -> list[Tensor]:
        """Every tensor that learning moves, itself: it stays where it is."""
        adams = [tensor for adam in self.adams.values() for tensor in adam.tensors().values()]
        return [*adams, self._targets, self._average, *self.memory.values()]

    def scale_learning_rates(self, *, actor: float = 1.0, critic: float = 1.0) -> None:
        """As ``Learner.scale_learning_rates``.

        Raises:
            TrainingError: a factor is negative or not finite.
        """
        check_rate_factors(actor=actor, critic=critic)
        self.adams["actor"].scale(actor)
        self.adams["critic"].scale(critic)

    def reset_critic_optimizer(self) -> None:
        """As ``Learner.reset_critic_optimizer``."""
        self.adams["critic"].forget()

    def adopt(self, policy: Path) -> None:
        """As ``Learner.adopt``; every run starts from it.

        Raises:
            PolicyError: broken, or of another architecture.
        """
        tensors = adopted(policy, self._architecture())
        self._take(Normaliser.from_tensors(tensors))
        with torch.no_grad():
            for network in (self.actor, self.average):
                for i, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
                    weight.copy_(tensors[f"layer.{i}.weight"].T)
                    bias.copy_(tensors[f"layer.{i}.bias"])

    def state(self) -> dict[str, Tensor]:
        """Networks, targets, moments, rates, normaliser and memory, by name."""
        state = {f"network.{name}": tensor.detach() for name, tensor in self._network_tensors().items()}
        for role, adam in self.adams.items():
            state |= {f"optimiser.{role}.{name}": tensor for name, tensor in adam.state().items()}
        state |= {f"normaliser.{name}": tensor for name, tensor in self._normaliser.to_tensors().items()}
        state |= {f"memory.{name}": tensor for name, tensor in self.memory.items()}
        return {name: tensor.to("cpu", copy=True) for name, tensor in state.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from ``state()``; raises as ``Learner.restore`` does, before anything is changed."""
        check_same(self.state(), state)
        with torch.no_grad():
            for name, tensor in self._network_tensors().items():
                tensor.copy_(state[f"network.{name}"])
            for name, tensor in self.memory.items():
                tensor.copy_(state[f"memory.{name}"])
        for role, adam in self.adams.items():
            adam.restore(below(state, f"optimiser.{role}."))
        self._take(Normaliser.from_tensors(below(state, "normaliser.")))

    def export(self, path: Path) -> None:
        """Write ``policy.safetensors``, identical to ``act`` and ``explore``."""
        tensors = self._normaliser.to_tensors()
        for i, (weight, bias) in enumerate(self._layers()):
            tensors |= {f"layer.{i}.weight": weight, f"layer.{i}.bias": bias}
        tensors |= {"action.low": self._low, "action.high": self._high, "action.std": self._noise_std()}
        content = policy_bytes(self._architecture(), tensors)
        with replacing(path) as partial:
            partial.write_bytes(content)

    def _architecture(self) -> Architecture:
        return Architecture(
            observation=self._observation.names,
            action=self._action.names,
            hidden=tuple((units, "relu") for units in self._settings.hidden_units),
        )

    def _layers(self) -> list[tuple[Tensor, Tensor]]:
        """Weights (out, in) and biases (out,) of the first run's policy that acts, as a policy file holds them."""
        pairs = zip(self.average.weights, self.average.biases, strict=True)
        return [(weight.detach()[0].T.contiguous().cpu(), bias.detach()[0, 0].cpu()) for weight, bias in pairs]

    def _take(self, normaliser: Normaliser) -> None:
        self._normaliser = normaliser
        self._mean, self._std = normaliser.mean.to(self.device), normaliser.std.to(self.device)

    def _noise_std(self) -> Tensor:
        return self._half.cpu() * self._settings.exploration_std

    def _network_tensors(self) -> dict[str, Tensor]:
        networks = {"actor": self.actor, "average": self.average, "critics": self.critics, "targets": self.targets}
        return {
            f"{role}.{name}": tensor
            for role, network in networks.items()
            for name, tensor in network.state_dict(keep_vars=True).items()
        }


def _still(network: nn.Module) -> Tensor:
    """All weights of a network as one vector, which no optimiser moves."""
    return one_vector(list(network.requires_grad_(False).parameters()))
