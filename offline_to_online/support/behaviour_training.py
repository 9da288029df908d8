"""The behaviour's density in torch: how it is learned, and its differentiable form for those who learn from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import SupportError
from offline_to_online.support import behaviour_network as network

if TYPE_CHECKING:
    from offline_to_online.support.behaviour import BehaviourConfig

CHECK_EVERY = 200
HELD_OUT_STEPS = 4000
WARM_UP, LAST_RATE = 100, 0.05
LARGEST_GRADIENT = 5.0
# The weights that are kept are a running mean, over about the last tenth of the updates and never more than 200:
# less noise than any of them, yet not the first ones' ballast.
AVERAGING, AVERAGING_START = 0.995, 10
# Means of the untrained mixture lie within so many deviations; its output layer starts this much smaller than usual.
FIRST_MEANS, FIRST_OUTPUT = 1.5, 0.3


def log_density(tensors: Mapping[str, Tensor], observations: Tensor, actions: Tensor) -> Tensor:
    """The torch twin of ``behaviour_network.log_density``, from raw observations (..., O) and actions (..., A).

    -inf for a query that is not finite, whose gradient is zero.
    """
    states = (observations - tensors["observation.mean"]) / tensors["observation.scale"]
    deviations = (actions - tensors["action.mean"]) / tensors["action.scale"]
    finite = states.isfinite().all(-1) & deviations.isfinite().all(-1)
    states = torch.where(states.isfinite(), states, 0.0)
    deviations = torch.where(deviations.isfinite(), deviations, 0.0)
    logs = _mixtures(tensors, _shown_states(states), deviations)
    return torch.where(finite, logs, -torch.inf)


def on_device(tensors: Mapping[str, Array], device: torch.device) -> dict[str, Tensor]:
    """Copies of the tensors on a device."""
    return {name: torch.tensor(array, device=device) for name, array in tensors.items()}


def trained(
    states: Array, deviations: Array, episode_of: Array, config: BehaviourConfig, seed: int
) -> dict[str, Array]:
    """The layers' weights and biases, float32 by name: those of the check that the held-out episodes liked best.

    Args:
        states: as the network sees them, float32 (N, O).
        deviations: actions in standard deviations, float32 (N, A).
        episode_of: which episode each row is of (N,).
        config: how.
        seed: of everything random.

    Raises:
        SupportError: a check gave a likelihood that is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    held_out = _held_out(episode_of, config.held_out_share, generator)
    rows, blur = (torch.from_numpy(states), torch.from_numpy(deviations)), torch.tensor([config.blur])
    with _one_thread():
        layers = _first_layers(states.shape[1], deviations.shape[1], config, generator)
        masks = _masks(deviations.shape[1], config)
        best = _descend(layers, masks, rows, torch.from_numpy(held_out), blur, config, generator)
    return {name: tensor.numpy() for name, tensor in _masked(best, masks).items()}


def held_out_rows(episode_of: Array, share: float, seed: int) -> Array:
    """Which rows bool (N,) ``trained`` holds out: it draws them first of all from its generator."""
    return _held_out(episode_of, share, torch.Generator().manual_seed(seed))


@contextmanager
def _one_thread() -> Iterator[None]:
    """The same sums on any number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _descend(
    layers: dict[str, Tensor],
    masks: Mapping[str, Tensor],
    rows: tuple[Tensor, Tensor],
    held_out: Tensor,
    blur: Tensor,
    config: BehaviourConfig,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """AdamW on the blurred log-likelihood, until the held-out episodes gain nothing more from it."""
    states, deviations = rows
    training, parameters = (~held_out).nonzero()[:, 0], list(layers.values())
    checked = _checked_rows(held_out, generator)
    noise = blur * torch.randn(deviations[checked].shape, generator=generator)
    check = states[checked], deviations[checked] + noise
    optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    average = {name: tensor.detach().clone() for name, tensor in layers.items()}
    kept = _Kept()
    for update in range(1, config.updates + 1):
        drawn = training[torch.randint(len(training), (config.batch_size,), generator=generator)]
        target = deviations[drawn] + blur * torch.randn((config.batch_size, deviations.shape[1]), generator=generator)
        drop = _dropout(config.dropout, generator)
        loss = -_mixtures(_masked(layers, masks) | {"blur": blur}, states[drawn], target, drop).mean()
        _step(optimiser, loss, parameters, config.learning_rate * _rate(update, config.updates))
        share = max(1 - AVERAGING, AVERAGING_START / (AVERAGING_START + update))
        for name, tensor in layers.items():
            average[name].lerp_(tensor.detach(), share)
        if update % CHECK_EVERY == 0 or update == config.updates:
            kept.offer(average, float(_mixtures(_masked(average, masks) | {"blur": blur}, *check).mean()))
            if kept.checks_since == config.patience:
                break
    return kept.layers


@dataclass
class _Kept:
    """The layers that the held-out episodes liked best so far, and how many checks ago that was."""

    layers: dict[str, Tensor] = field(default_factory=dict)
    likelihood: float = -math.inf
    checks_since: int = 0

    def offer(self, layers: Mapping[str, Tensor], likelihood: float) -> None:
        if not math.isfinite(likelihood):
            raise SupportError(
                "training turned non-finite",
                where="behaviour density",
                remedy="lower behaviour.learning_rate, or check the log's values",
            )
        self.checks_since += 1
        if likelihood > self.likelihood:
            self.layers = {name: tensor.clone() for name, tensor in layers.items()}
            self.likelihood, self.checks_since = likelihood, 0


def _step(optimiser: torch.optim.Optimizer, loss: Tensor, parameters: list[Tensor], rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
    optimiser.step()


def _rate(update: int, updates: int) -> float:
    """Share of the learning rate at an update: a short rise, then half a cosine."""
    cosine = 0.5 * (1 + math.cos(math.pi * update / updates))
    return min(1.0, update / WARM_UP) * (LAST_RATE + (1 - LAST_RATE) * cosine)


def _dropout(share: float, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """Dropout that draws from the generator; torch's own draws from a process-wide one."""

    def drop(units: Tensor) -> Tensor:
        return units * (torch.rand(units.shape, generator=generator) >= share) / (1 - share)

    return drop if share else _all


def _all(units: Tensor) -> Tensor:
    return units


def _mixtures(
    tensors: Mapping[str, Tensor],
    states: Tensor,
    deviations: Tensor,
    drop: Callable[[Tensor], Tensor] = _all,
) -> Tensor:
    """log p of actions in deviations (..., A) at states as the network sees them (..., O); shapes broadcast."""
    width, size = len(tensors["features.bias"]), deviations.shape[-1]
    deviations = deviations.clamp(-network.FARTHEST, network.FARTHEST)
    shown = deviations.clamp(-network.FARTHEST_ACTION, network.FARTHEST_ACTION)
    features = drop(silu(linear(states, tensors["state.weight"], tensors["state.bias"])))
    features = drop(silu(linear(features, tensors["features.weight"], tensors["features.bias"])))
    joint, parts = tensors["joint.weight"], tensors["parts.weight"]
    # The state's share apart from the action's: many candidates in one state pay for it once.
    hidden = linear(features, joint[:, :width], tensors["joint.bias"]) + linear(shown, joint[:, width:])
    given = linear(features, parts[:, width : 2 * width], tensors["parts.bias"])
    mixtures = linear(drop(silu(hidden)), parts[:, :width]) + given + linear(shown, parts[:, 2 * width :])
    logits, means, log_scales = mixtures.reshape(*mixtures.shape[:-1], 3, size, -1).unbind(-3)
    floor = (network.SCALE_PER_BLUR * tensors["blur"]).square()
    variances = floor + (2 * log_scales.clamp(network.LOWEST_LOG_SCALE, network.HIGHEST_LOG_SCALE)).exp()
    squares = (deviations.unsqueeze(-1) - means).square() / (network.DEGREES_OF_FREEDOM * variances)
    joint_logs = logits - 0.5 * variances.log() - 0.5 * (network.DEGREES_OF_FREEDOM + 1) * squares.log1p()
    logs: Tensor = (joint_logs.logsumexp(-1) - logits.logsumexp(-1) + network.LOG_NORMALISER).sum(-1)
    return logs


def _shown_states(deviations: Tensor) -> Tensor:
    size = deviations.abs()
    logarithmic = deviations.sign() * (1 + size.clamp(min=1).log())
    return torch.where(size > 1, logarithmic, deviations).clamp(-network.FARTHEST_STATE, network.FARTHEST_STATE)


def _held_out(episode_of: Array, share: float, generator: torch.Generator) -> Array:
    """Which rows (N,) are of the episodes that say when to stop: at least one, and at least one is left to train on."""
    episodes = np.unique(episode_of)
    count = min(max(1, round(share * len(episodes))), len(episodes) - 1)
    drawn = torch.randperm(len(episodes), generator=generator)[:count].numpy()
    return np.isin(episode_of, episodes[drawn])


def _checked_rows(held_out: Tensor, generator: torch.Generator) -> Tensor:
    rows = held_out.nonzero()[:, 0]
    return rows[torch.randperm(len(rows), generator=generator)[:HELD_OUT_STEPS]]


def _first_layers(
    observation: int, action: int, config: BehaviourConfig, generator: torch.Generator
) -> dict[str, Tensor]:
    """Untrained layers: uniform weights as torch's own linear layers have, means spread over the data."""
    layers = {}
    shapes = network.layer_shapes(observation, action, config.hidden, config.components)
    for layer, (rows, columns) in shapes.items():
        bound = (FIRST_OUTPUT if layer == "parts" else 1.0) / math.sqrt(columns)
        layers[f"{layer}.weight"] = bound * (2 * torch.rand(rows, columns, generator=generator) - 1)
        layers[f"{layer}.bias"] = torch.zeros(rows)
    layers["parts.bias"].view(3, action, -1)[1] = torch.linspace(-FIRST_MEANS, FIRST_MEANS, config.components)
    return {name: tensor.requires_grad_() for name, tensor in layers.items()}


def _masks(action: int, config: BehaviourConfig) -> dict[str, Tensor]:
    """Zeros where a weight would let a dimension of the action see itself or a later one (MADE).

    A hidden unit of degree d sees the dimensions before d; the mixture of dimension i sees units of degree at most i.
    """
    dimension = torch.arange(action)
    degree = torch.arange(config.hidden) % action
    output = dimension.repeat_interleave(config.components).repeat(3)
    joint = [torch.ones(config.hidden, config.hidden), (dimension < degree[:, None]).float()]
    seen = (degree <= output[:, None]).float()
    parts = [seen, torch.ones(len(output), config.hidden), (dimension < output[:, None]).float()]
    return {"joint.weight": torch.cat(joint, dim=1), "parts.weight": torch.cat(parts, dim=1)}


def _masked(layers: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor * masks[name] if name in masks else tensor for name, tensor in layers.items()}
