"""A d3rlpy algorithm as a ``Learner``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from offline_to_online.dataset.files import replacing
from offline_to_online.dataset.spec import ActionSchema, Array, ObservationSchema
from offline_to_online.errors import TrainingError
from offline_to_online.learning.algorithms._d3rlpy.draws import Draws
from offline_to_online.learning.algorithms._d3rlpy.library import ACTIVATION, d3rlpy, device_name
from offline_to_online.learning.algorithms._d3rlpy.parts import ACTOR, CRITIC, TEMPERATURE, Parts
from offline_to_online.learning.algorithms._d3rlpy.shortcuts import make_fast
from offline_to_online.learning.averaged import AveragedPolicy
from offline_to_online.learning.learner import (
    Normaliser,
    below,
    check_batch,
    check_behaviour_factor,
    check_rate_factors,
    check_same,
)
from offline_to_online.learning.policy import add_noise, centre_and_half, to_bounds
from offline_to_online.learning.policy_file import Architecture, adopted, policy_bytes
from offline_to_online.learning.replay import Batch

# Of the last layer of a policy network that gives a deviation for each observation; no policy file holds it.
DEVIATION_LAYER = "_logstd"


class D3rlpyLearner:
    """A d3rlpy algorithm as a ``Learner``: robot units outside, normalised numbers inside.

    Args:
        parts: the algorithm.
        observation: names and sizes for the exported policy.
        action: names and bounds of the actions, rescaled to [-1, 1] inside.
        normaliser: of the observations; part of the state and of the exported policy.
        seed: of the initial weights, and after them of the random numbers of updates.
        device: that updates run on, as torch names it.
        logged: all logged steps, for an algorithm that compares with them; not part of the state.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        observation: ObservationSchema,
        action: ActionSchema,
        normaliser: Normaliser,
        seed: int,
        device: str = "cpu",
        logged: Batch | None = None,
    ) -> None:
        self._observation, self._action, self._device = observation, action, torch.device(device)
        self._low, self._high = torch.from_numpy(action.low), torch.from_numpy(action.high)
        self._centre, self._half = (part.to(self._device) for part in centre_and_half(self._low, self._high))
        algorithm = parts.settings.create(device=device_name(self._device))
        # d3rlpy draws initial weights from the global generator, which is put back afterwards.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            algorithm.create_impl((observation.size,), action.size)
            self._draws = Draws(torch.get_rng_state(), self._device) if parts.draws else None
        self._impl, self._mini_batch = algorithm.impl, d3rlpy().TorchMiniBatch
        self._average = AveragedPolicy(self._impl.policy, parts.average_decay)
        self._exploration_std = parts.exploration_std
        self._optimisers = {role: made for role, factory in parts.optimisers.items() for made in factory.made}
        self._weigh = parts.weigher(self._impl) if parts.weigher else None
        self._behaviour, self._updates = 1.0, 0
        self._remember, self._logged = parts.remember, logged
        self._take(normaliser)
        make_fast(self._impl, parts)
        for role, optimiser in self._optimisers.items():
            if role != ACTOR:  # its step is the last that can be refused
                optimiser.make_undoable()

    def update(self, batch: Batch) -> dict[str, float]:
        """One update by d3rlpy's own rule; raises as ``Learner.update`` does."""
        where = f"update {self._updates + 1}"
        check_batch(batch, where=where)
        steps = {role: optimiser.steps for role, optimiser in self._optimisers.items()}
        try:
            losses = self._descend(self._as_mini_batch(batch))
        except (TrainingError, ValueError) as error:
            for role, optimiser in self._optimisers.items():
                optimiser.undo_after(steps[role])
            raise _refused(error, where=where) from error
        self._updates += 1
        actor = self._optimisers[ACTOR]
        if actor.steps > steps[ACTOR] and actor.rate:  # a frozen policy does not catch up with itself either
            self._average.follow(int(actor.steps))
        return losses

    def act(self, observations: Array) -> Array:
        """Greedy actions, float32 (N, A), in robot units, for observations (N, O)."""
        with torch.inference_mode():
            rows = torch.from_numpy(np.array(observations, dtype=np.float32)).to(self._device)
            squashed = self._average(self._normaliser.apply(rows)).squashed_mu.cpu()
            centre, half = self._centre.cpu(), self._half.cpu()
            actions: Array = to_bounds(squashed, centre, half, self._low, self._high).numpy()
        return actions

    def explore(self, observations: Array, rng: np.random.Generator) -> Array:
        """Greedy actions plus the exploration noise, clipped to the bounds; float32 (N, A)."""
        return add_noise(self.act(observations), self._noise_std().numpy(), self._action.low, self._action.high, rng)

    def scale_learning_rates(self, *, actor: float = 1.0, critic: float = 1.0) -> None:
        """As ``Learner.scale_learning_rates``; the temperature goes with the policy, alpha with the values.

        Raises:
            TrainingError: a factor is negative or not finite.
        """
        check_rate_factors(actor=actor, critic=critic)
        for role, optimiser in self._optimisers.items():
            optimiser.scale(actor if role in (ACTOR, TEMPERATURE) else critic)

    def scale_behaviour(self, factor: float) -> None:
        """As ``Learner.scale_behaviour``.

        Raises:
            TrainingError: the factor is negative or not finite.
        """
        check_behaviour_factor(factor)
        if self._weigh is not None:
            self._weigh(factor)
            self._behaviour = factor

    def reset_critic_optimizer(self) -> None:
        """As ``Learner.reset_critic_optimizer``."""
        if CRITIC in self._optimisers:
            self._optimisers[CRITIC].forget()

    def adopt(self, policy: Path) -> None:
        """As ``Learner.adopt``; a deviation that the policy network learns stays its own.

        Raises:
            PolicyError: broken, or of another architecture.
        """
        tensors = adopted(policy, self._architecture())
        self._take(Normaliser.from_tensors(tensors))
        targets = [self._impl.modules.targ_policy] if hasattr(self._impl.modules, "targ_policy") else []
        with torch.no_grad():
            for network in (self._impl.policy, self._average.network, *targets):
                for i, layer in enumerate(_layers(network)):
                    layer.weight.copy_(tensors[f"layer.{i}.weight"])
                    layer.bias.copy_(tensors[f"layer.{i}.bias"])

    def state(self) -> dict[str, Tensor]:
        """Networks, moments, rates, normaliser, update count, random state and behaviour factor, by name."""
        state = {f"network.{name}": tensor.detach() for name, tensor in self._network_tensors().items()}
        for role, optimiser in self._optimisers.items():
            state |= {f"optimiser.{role}.{name}": tensor for name, tensor in optimiser.state().items()}
        state |= {f"normaliser.{name}": tensor for name, tensor in self._normaliser.to_tensors().items()}
        state["updates"] = torch.tensor(self._updates, dtype=torch.int64)
        if self._draws is not None:
            state["random"] = self._draws.state
        if self._weigh is not None:
            state["behaviour"] = torch.tensor(self._behaviour, dtype=torch.float64)
        return {name: tensor.to("cpu", copy=True) for name, tensor in state.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from ``state()``; raises as ``Learner.restore`` does, before anything is changed."""
        check_same(self.state(), state)
        with torch.no_grad():
            for name, tensor in self._network_tensors().items():
                tensor.copy_(state[f"network.{name}"])
        for role, optimiser in self._optimisers.items():
            optimiser.restore(below(state, f"optimiser.{role}."))
        self._take(Normaliser.from_tensors(below(state, "normaliser.")))
        self._updates = int(state["updates"])
        if self._draws is not None:
            self._draws.state = state["random"].clone()
        if self._weigh is not None:
            self.scale_behaviour(float(state["behaviour"]))

    def export(self, path: Path) -> None:
        """Write ``policy.safetensors``, identical to ``act`` and ``explore``."""
        tensors = self._normaliser.to_tensors()
        for i, layer in enumerate(_layers(self._average.network)):
            tensors |= {f"layer.{i}.weight": layer.weight, f"layer.{i}.bias": layer.bias}
        tensors |= {"action.low": self._low, "action.high": self._high, "action.std": self._noise_std()}
        content = policy_bytes(self._architecture(), {name: tensor.cpu() for name, tensor in tensors.items()})
        with replacing(path) as partial:
            partial.write_bytes(content)

    def _descend(self, batch: Any) -> dict[str, float]:
        # Past the method that first sets every network to training: none has a layer to which that matters.
        update: Callable[[Any, int], dict[str, float]] = self._impl.inner_update
        if self._draws is None:
            return update(batch, self._updates)
        with self._draws.own():
            return update(batch, self._updates)

    def _as_mini_batch(self, batch: Batch) -> Any:
        return self._mini_batch(
            observations=self._normaliser.apply(batch.observations),
            actions=self._squashed(batch.actions),
            rewards=batch.rewards,
            next_observations=self._normaliser.apply(batch.next_observations),
            next_actions=self._squashed(batch.next_actions),
            returns_to_go=batch.returns_to_go,
            terminals=batch.terminals,
            intervals=batch.intervals,
            device=device_name(self._device),
        )

    def _squashed(self, actions: Tensor) -> Tensor:
        return actions.sub(self._centre).div_(self._half)

    def _take(self, normaliser: Normaliser) -> None:
        self._normaliser = normaliser.to(self._device)
        if self._remember is not None and self._logged is not None:
            logged = self._logged
            self._remember(self._impl, self._normaliser.apply(logged.observations), self._squashed(logged.actions))

    def _architecture(self) -> Architecture:
        return Architecture(
            observation=self._observation.names,
            action=self._action.names,
            hidden=tuple((layer.out_features, ACTIVATION) for layer in _layers(self._average.network)[:-1]),
        )

    def _networks(self) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module] = self._impl.modules.get_torch_modules()
        return networks

    def _network_tensors(self) -> dict[str, Tensor]:
        tensors = {
            f"{role}.{name}": tensor
            for role, module in self._networks().items()
            for name, tensor in module.state_dict(keep_vars=True).items()
        }
        return tensors | {f"average.{name}": tensor for name, tensor in self._average.tensors().items()}

    def _noise_std(self) -> Tensor:
        if self._exploration_std is not None:
            return self._half.cpu() * self._exploration_std
        with torch.no_grad():
            # The deviation does not depend on the observation (one parameter per action dimension).
            logstd: Tensor = self._average(torch.zeros(1, self._observation.size, device=self._device)).logstd
            return (logstd[0].exp() * self._half).cpu()


def _layers(policy: nn.Module) -> list[nn.Linear]:
    """The layers from observations to the greedy action, in order."""
    named = policy.named_modules()
    return [part for name, part in named if isinstance(part, nn.Linear) and name != DEVIATION_LAYER]


def _refused(error: TrainingError | ValueError, *, where: str) -> TrainingError:
    if isinstance(error, TrainingError):
        return TrainingError(error.what, where=where, limit=error.limit, remedy=error.remedy)
    # torch refuses a distribution whose mean or deviation is NaN and prints all of it, and a search of neighbours NaN.
    return TrainingError(
        "the policy's output is not finite",
        where=where,
        limit="the update was not applied",
        remedy="check rewards and observations for outliers, or lower the learning rate",
    )
