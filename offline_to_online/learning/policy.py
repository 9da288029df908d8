"""A policy as a robot needs it: observations and actions in robot units, loaded from one file.

This module and ``policy_file`` need torch, numpy and safetensors alone, so that a robot needs no more.

The network is a multilayer perceptron whose output is squashed by tanh and rescaled to the bounds;
exploring adds Gaussian noise of a fixed standard deviation per action dimension.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from offline_to_online.errors import PolicyError
from offline_to_online.learning.policy_file import ACTIVATIONS, Architecture, read_policy

if TYPE_CHECKING:
    from offline_to_online.dataset.spec import ActionSchema, Array, ObservationSchema


class Policy:
    """Acts on observations in robot units, greedily or exploring.

    Attributes:
        history: observations that one decision looks at (1).
        chunk: actions that one decision gives (1).
        observation_size: number of observation dimensions O.
        action_size: number of action dimensions A.
        sha256: SHA-256 of the file's content.
        exploration_scale: multiplies the noise of ``explore``; an online run sets it.
    """

    def __init__(self, architecture: Architecture, tensors: Mapping[str, Tensor], *, sha256: str) -> None:
        self.architecture = architecture
        self.history, self.chunk = architecture.history, architecture.chunk
        self.observation_size, self.action_size = len(architecture.observation), len(architecture.action)
        self.sha256 = sha256
        self.exploration_scale = 1.0
        self._mean, self._std = tensors["observation.mean"], tensors["observation.std"]
        self._low, self._high = tensors["action.low"], tensors["action.high"]
        self._noise_std = tensors["action.std"].numpy()
        self._centre, self._half = centre_and_half(self._low, self._high)
        last = len(architecture.hidden)
        self._hidden = [
            (tensors[f"layer.{i}.weight"], tensors[f"layer.{i}.bias"], ACTIVATIONS[activation])
            for i, (_, activation) in enumerate(architecture.hidden)
        ]
        self._last = (tensors[f"layer.{last}.weight"], tensors[f"layer.{last}.bias"])

    @classmethod
    def load(cls, path: Path) -> Policy:
        """The policy of a file. Nothing is unpickled.

        Raises:
            PolicyError: no such file, not a safetensors file (a pickle, say), no architecture in it, or
                weights that do not fit the architecture.
        """
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise PolicyError(
                f"cannot read the policy: {error.strerror}", where=str(path), remedy="train it, or check the path"
            ) from error
        return cls.from_bytes(content, where=str(path))

    @classmethod
    def from_bytes(cls, content: bytes, *, where: str) -> Policy:
        """The policy that ``policy_bytes`` wrote; raises as ``load`` does."""
        architecture, tensors = read_policy(content, where=where)
        return cls(architecture, tensors, sha256=hashlib.sha256(content).hexdigest())

    def check_fits(self, observation: ObservationSchema, action: ActionSchema) -> None:
        """Refuse a robot whose dimensions are not the policy's, by name and order.

        Raises:
            PolicyError: the first name that differs.
        """
        _check_names("observation", self.architecture.observation, observation.names)
        _check_names("action", self.architecture.action, action.names)

    def act(self, observations: Array) -> Array:
        """Greedy actions, float32 (N, A), for observations (N, O).

        Raises:
            PolicyError: the observations are not of shape (N, O).
        """
        with torch.inference_mode():
            return self._greedy(observations).numpy()

    def explore(self, observations: Array, rng: np.random.Generator) -> Array:
        """Greedy actions plus Gaussian noise, clipped to the bounds; float32 (N, A).

        Raises:
            PolicyError: the observations are not of shape (N, O).
        """
        scale = np.float32(self.exploration_scale)
        return add_noise(self.act(observations), self._noise_std * scale, self._low.numpy(), self._high.numpy(), rng)

    def reset(self) -> None:
        """Begin an episode. This policy remembers nothing."""

    def _greedy(self, observations: Array) -> Tensor:
        # A fresh array: the scaling below works in place, and the caller's array may be read-only.
        x = torch.from_numpy(np.array(observations, dtype=np.float32))
        if x.ndim != 2 or x.shape[1] != self.observation_size:
            raise PolicyError(
                f"observations of shape {tuple(x.shape)}",
                limit=f"(N, {self.observation_size})",
                remedy="give one row per observation, as the policy was trained on",
            )
        x.sub_(self._mean).div_(self._std)
        for weight, bias, activation in self._hidden:
            x = activation(linear(x, weight, bias))
        return to_bounds(linear(x, *self._last).tanh_(), self._centre, self._half, self._low, self._high)


class RandomPolicy:
    """Uniform actions inside the bounds: the yardstick that the support audit and the guard must catch.

    Args:
        action: whose bounds it draws from.
        observation_size: O; observations only count rows, so that any size is taken when it is 0.
        seed: of the generator that ``act`` draws from, since a random policy has no greedy action.
    """

    history = 1
    chunk = 1

    def __init__(self, action: ActionSchema, *, observation_size: int = 0, seed: int = 0) -> None:
        self.observation_size, self.action_size = observation_size, action.size
        self._low, self._high = action.low, action.high
        self._rng = np.random.default_rng(seed)
        content = f"uniform {seed} {self._low.tolist()} {self._high.tolist()}"
        self.sha256 = hashlib.sha256(content.encode()).hexdigest()

    def act(self, observations: Array) -> Array:
        """Uniform actions, float32 (N, A), from its own generator."""
        return self.explore(observations, self._rng)

    def explore(self, observations: Array, rng: np.random.Generator) -> Array:
        """Uniform actions, float32 (N, A), from the generator given."""
        share = rng.random((len(observations), self.action_size), dtype=np.float32)
        actions: Array = np.clip(self._low + share * (self._high - self._low), self._low, self._high)
        return actions

    def reset(self) -> None:
        """Begin an episode; the generator goes on, so that no two episodes are alike."""


def centre_and_half(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Centre and half range of the bounds, which [-1, 1] is rescaled to."""
    return (high + low) / 2, (high - low) / 2


def to_bounds(squashed: Tensor, centre: Tensor, half: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Actions in robot units from those in [-1, 1], in place; never beyond the bounds, not even by rounding."""
    return squashed.mul_(half).add_(centre).clamp_(low, high)


def add_noise(greedy: Array, std: Array, low: Array, high: Array, rng: np.random.Generator) -> Array:
    """Greedy actions (N, A) plus Gaussian noise of standard deviation ``std`` (A,), clipped to the bounds."""
    noise = rng.standard_normal(greedy.shape, dtype=np.float32) * std
    noisy: Array = np.clip(greedy + noise, low, high)
    return noisy


def _check_names(kind: str, mine: Sequence[str], theirs: Sequence[str]) -> None:
    if len(mine) != len(theirs):
        raise PolicyError(
            f"the robot has {len(theirs)} {kind} dimensions",
            limit=f"the policy was trained on {len(mine)}",
            remedy="give the policy the robot that it was trained for",
        )
    for i, (own, other) in enumerate(zip(mine, theirs, strict=True)):
        if own != other:
            raise PolicyError(
                f"the robot's {kind} dimension {i} is {other!r}",
                limit=f"the policy was trained on {own!r}",
                remedy="give the policy the robot that it was trained for",
            )
