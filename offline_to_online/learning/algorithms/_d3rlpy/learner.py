"""A d3rlpy algorithm as a ``Learner``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from offline_to_online.dataset.files import replacing
from offline_to_online.dataset.spec import ActionSchema, Array, ObservationSchema
from offline_to_online.errors import TrainingError
from offline_to_online.learning.algorithms._d3rlpy.flat_adam import FlatAdamFactory
from offline_to_online.learning.algorithms._d3rlpy.library import ACTIVATION, d3rlpy
from offline_to_online.learning.averaged import AveragedPolicy
from offline_to_online.learning.learner import Normaliser, below, check_batch, check_rate_factors, check_same
from offline_to_online.learning.policy import add_noise, centre_and_half, to_bounds
from offline_to_online.learning.policy_file import Architecture, policy_bytes
from offline_to_online.learning.replay import Batch


class _ComputedOnce:
    """Answers the second of two identical questions to the target critics from the first."""

    def __init__(self, forwarder: Any) -> None:
        self._forwarder = forwarder
        self._asked: tuple[Any, ...] = ()
        self._answer: Any = None

    def compute_expected_q(self, x: Tensor, action: Tensor, reduction: str = "mean") -> Any:
        """As d3rlpy's forwarder of the target critics."""
        asked = (x, action, reduction)
        # By identity: every update normalises its batch into new tensors, and the targets move only after it.
        if not (self._asked and all(a is b for a, b in zip(asked, self._asked, strict=True))):
            with torch.no_grad():
                self._answer = self._forwarder.compute_expected_q(x, action, reduction)
            self._asked = asked
        return self._answer


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What an algorithm file chose: d3rlpy's algorithm, not yet built, and the optimisers it will make.

    Attributes:
        algo: d3rlpy's algorithm object.
        actor: makes the optimiser of the policy.
        average_decay: of the moving average of the policy's weights, per update; 0 is the last weights.
        critic: makes the optimiser of the values, or makes none.
        exploration_std: standard deviation of exploring actions as a share of the half range; None takes
            the policy network's own.
    """

    algo: Any
    actor: FlatAdamFactory
    average_decay: float
    critic: FlatAdamFactory | None = None
    exploration_std: float | None = None


class D3rlpyLearner:
    """A d3rlpy algorithm as a ``Learner``: robot units outside, normalised numbers inside.

    Args:
        make_parts: makes the algorithm.
        observation: names and sizes for the exported policy.
        action: names and bounds of the actions, rescaled to [-1, 1] inside.
        normaliser: of the observations; part of the state and of the exported policy.
        seed: of the initial weights. Updates draw no random numbers.
    """

    def __init__(
        self,
        make_parts: Callable[[], Parts],
        *,
        observation: ObservationSchema,
        action: ActionSchema,
        normaliser: Normaliser,
        seed: int,
    ) -> None:
        self._observation, self._action, self._normaliser = observation, action, normaliser
        self._low, self._high = torch.from_numpy(action.low), torch.from_numpy(action.high)
        self._centre, self._half = centre_and_half(self._low, self._high)
        parts = make_parts()
        # d3rlpy draws initial weights from the global generator, which is put back afterwards.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            parts.algo.create_impl((observation.size,), action.size)
        self._impl = parts.algo.impl
        self._average = AveragedPolicy(self._impl.policy, parts.average_decay)
        self._exploration_std = parts.exploration_std
        self._optimisers = {"actor": parts.actor.made[0]}
        if parts.critic is not None:
            self._optimisers["critic"] = parts.critic.made[0]
        self._updates = 0
        self._mini_batch = d3rlpy().TorchMiniBatch
        self._make_fast()

    def update(self, batch: Batch) -> dict[str, float]:
        """One update by d3rlpy's own rule; raises as ``Learner.update`` does."""
        where = f"update {self._updates + 1}"
        check_batch(batch, where=where)
        steps = {name: optimiser.steps for name, optimiser in self._optimisers.items()}
        try:
            losses: dict[str, float] = self._impl.update(self._as_mini_batch(batch), self._updates)
        except (TrainingError, ValueError) as error:
            for name, optimiser in self._optimisers.items():
                optimiser.undo_after(steps[name])
            raise _refused(error, where=where) from error
        self._updates += 1
        if self._optimisers["actor"].rate:  # a frozen policy does not catch up with itself either
            self._average.follow(self._updates)
        return losses

    def act(self, observations: Array) -> Array:
        """Greedy actions, float32 (N, A), in robot units, for observations (N, O)."""
        with torch.inference_mode():
            x = self._normaliser.apply(torch.from_numpy(np.array(observations, dtype=np.float32)))
            squashed = self._average(x).squashed_mu
            actions: Array = to_bounds(squashed, self._centre, self._half, self._low, self._high).numpy()
        return actions

    def explore(self, observations: Array, rng: np.random.Generator) -> Array:
        """Greedy actions plus the exploration noise, clipped to the bounds; float32 (N, A)."""
        return add_noise(self.act(observations), self._noise_std().numpy(), self._action.low, self._action.high, rng)

    def scale_learning_rates(self, *, actor: float = 1.0, critic: float = 1.0) -> None:
        """As ``Learner.scale_learning_rates``.

        Raises:
            TrainingError: a factor is negative or not finite.
        """
        check_rate_factors(actor=actor, critic=critic)
        for name, factor in (("actor", actor), ("critic", critic)):
            if name in self._optimisers:
                self._optimisers[name].scale(factor)

    def state(self) -> dict[str, Tensor]:
        """Networks, targets, moments, rates, normaliser and update count, by name."""
        state = {f"network.{name}": tensor.detach().clone() for name, tensor in self._network_tensors().items()}
        for role, optimiser in self._optimisers.items():
            state |= {f"optimiser.{role}.{name}": tensor for name, tensor in optimiser.state().items()}
        state |= {f"normaliser.{name}": tensor for name, tensor in self._normaliser.to_tensors().items()}
        return state | {"updates": torch.tensor(self._updates, dtype=torch.int64)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from ``state()``; raises as ``Learner.restore`` does, before anything is changed."""
        check_same(self.state(), state)
        with torch.no_grad():
            for name, tensor in self._network_tensors().items():
                tensor.copy_(state[f"network.{name}"])
        for role, optimiser in self._optimisers.items():
            optimiser.restore(below(state, f"optimiser.{role}."))
        self._normaliser = Normaliser.from_tensors(below(state, "normaliser."))
        self._updates = int(state["updates"])

    def export(self, path: Path) -> None:
        """Write ``policy.safetensors``, identical to ``act`` and ``explore``."""
        layers = self._layers()
        architecture = Architecture(
            observation=self._observation.names,
            action=self._action.names,
            hidden=tuple((layer.out_features, ACTIVATION) for layer in layers[:-1]),
        )
        tensors = self._normaliser.to_tensors()
        for i, layer in enumerate(layers):
            tensors |= {f"layer.{i}.weight": layer.weight, f"layer.{i}.bias": layer.bias}
        tensors |= {"action.low": self._low, "action.high": self._high, "action.std": self._noise_std()}
        content = policy_bytes(architecture, tensors)
        with replacing(path) as partial:
            partial.write_bytes(content)

    def _make_fast(self) -> None:
        for module in self._networks().values():
            for part in module.modules():
                if isinstance(part, nn.ReLU):
                    part.inplace = True
        if "critic" in self._optimisers:
            self._optimisers["critic"].make_undoable()
            self._impl.modules.targ_q_funcs.requires_grad_(False)
            self._impl._targ_q_func_forwarder = _ComputedOnce(self._impl._targ_q_func_forwarder)

    def _as_mini_batch(self, batch: Batch) -> Any:
        ones = torch.ones_like(batch.rewards)
        return self._mini_batch(
            observations=self._normaliser.apply(batch.observations),
            actions=batch.actions.sub(self._centre).div_(self._half),
            rewards=batch.rewards,
            next_observations=self._normaliser.apply(batch.next_observations),
            next_actions=batch.actions,  # read by neither algorithm
            returns_to_go=batch.rewards,  # read by neither algorithm
            terminals=batch.terminals,
            intervals=ones,
            device="cpu:0",
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

    def _layers(self) -> list[nn.Linear]:
        return [part for part in self._average.network.modules() if isinstance(part, nn.Linear)]

    def _noise_std(self) -> Tensor:
        if self._exploration_std is not None:
            return self._half * self._exploration_std
        with torch.no_grad():
            # The deviation does not depend on the observation (one parameter per action dimension).
            logstd: Tensor = self._average(torch.zeros(1, self._observation.size)).logstd
            return logstd[0].exp() * self._half


def _refused(error: TrainingError | ValueError, *, where: str) -> TrainingError:
    if isinstance(error, TrainingError):
        return TrainingError(error.what, where=where, limit=error.limit, remedy=error.remedy)
    # torch refuses a distribution whose mean or deviation is NaN, and prints all of it.
    return TrainingError(
        "the policy's distribution is not finite",
        where=where,
        limit="the update was not applied",
        remedy="check rewards and observations for outliers, or lower the learning rate",
    )
