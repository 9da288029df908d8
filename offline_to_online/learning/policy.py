"""A policy as one file: weights, scaling and bounds in, actions in robot units out.

``policy.safetensors`` holds everything that acting needs, with the observation scaler and the action
bounds folded in; nothing in it can run code when it is opened. Its single metadata key ``policy`` is the
architecture as JSON. This module needs torch, numpy and safetensors alone, so that a robot needs no more.

The network is a multilayer perceptron whose output is squashed by tanh and rescaled to the bounds;
exploring adds Gaussian noise of a fixed standard deviation per action dimension.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from offline_to_online.errors import PolicyError

if TYPE_CHECKING:
    from offline_to_online.dataset.spec import ActionSchema, Array, ObservationSchema

KIND = "mlp_gaussian"
METADATA_KEY = "policy"
# In place where torch can: at one observation a step the time goes into calls, not into arithmetic.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "tanh": torch.tanh_,
    "silu": lambda x: silu(x, inplace=True),
}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What the weights of a policy file mean.

    Attributes:
        observation: names of the observation dimensions, in order.
        action: names of the action dimensions, in order.
        hidden: ``(units, activation)`` of each hidden layer.
        history: observations that one decision looks at.
        chunk: actions that one decision gives.
    """

    observation: tuple[str, ...]
    action: tuple[str, ...]
    hidden: tuple[tuple[int, str], ...]
    history: int = 1
    chunk: int = 1

    def to_json(self) -> str:
        """One line of JSON, the same for the same architecture."""
        row = {
            "kind": KIND,
            "output": "tanh",
            "observation": self.observation,
            "action": self.action,
            "hidden": [{"units": units, "activation": activation} for units, activation in self.hidden],
            "history": self.history,
            "chunk": self.chunk,
        }
        return json.dumps(row, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, where: str) -> Architecture:
        """The inverse of ``to_json``.

        Raises:
            PolicyError: a field is missing or of the wrong type, or the kind is unknown.
        """
        try:
            row = json.loads(text)
            kind, output = row["kind"], row["output"]
            hidden = tuple((int(layer["units"]), str(layer["activation"])) for layer in row["hidden"])
            names = (tuple(map(str, row["observation"])), tuple(map(str, row["action"])))
            history, chunk = int(row["history"]), int(row["chunk"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _broken(f"the architecture cannot be read: {error!r}", where) from error
        known = kind == KIND and output == "tanh" and (history, chunk) == (1, 1)
        if not known or any(activation not in ACTIVATIONS for _, activation in hidden):
            raise PolicyError(
                f"architecture {kind!r} with history {history}, chunk {chunk}, layers {hidden}",
                where=where,
                limit=f"kind {KIND}, tanh output, history 1, chunk 1, activations {', '.join(ACTIVATIONS)}",
                remedy="load it with the version that wrote it",
            )
        return cls(observation=names[0], action=names[1], hidden=hidden, history=history, chunk=chunk)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor of the file."""
        observation, action = len(self.observation), len(self.action)
        units = (observation, *(size for size, _ in self.hidden), action)
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (inputs, outputs) in enumerate(itertools.pairwise(units)):
            shapes[f"layer.{i}.weight"] = (outputs, inputs)
            shapes[f"layer.{i}.bias"] = (outputs,)
        shapes |= {f"observation.{name}": (observation,) for name in ("mean", "std")}
        return shapes | {f"action.{name}": (action,) for name in ("low", "high", "std")}


def policy_bytes(architecture: Architecture, tensors: Mapping[str, Tensor]) -> bytes:
    """The content of a policy file; the same tensors give the same bytes, wherever it will lie.

    Args:
        architecture: what the tensors are.
        tensors: float32, named and shaped as ``architecture.shapes()`` says.

    Raises:
        PolicyError: a tensor is missing, misshapen or not finite.
    """
    _check_tensors(architecture, tensors, where="the policy to export")
    content = {name: tensor.detach().contiguous() for name, tensor in sorted(tensors.items())}
    # One key only: safetensors writes several in an order that differs from run to run.
    return safetensors.torch.save(content, {METADATA_KEY: architecture.to_json()})


class Policy:
    """Acts on observations in robot units, greedily or exploring.

    Attributes:
        history: observations that one decision looks at (1).
        chunk: actions that one decision gives (1).
        observation_size: number of observation dimensions O.
        action_size: number of action dimensions A.
        sha256: SHA-256 of the file's content.
        exploration_scale: multiplies the noise of ``explore``; an online run may lower it.
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
        try:
            tensors = safetensors.torch.load(content)
        except (safetensors.SafetensorError, ValueError, KeyError) as error:
            limit = "weights are read from safetensors only, never from a pickle"
            raise _broken(f"this is no safetensors file: {error}", where, limit) from error
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        text = header.get("__metadata__", {}).get(METADATA_KEY)
        if text is None:
            raise _broken("the file holds weights without an architecture", where, f"metadata key {METADATA_KEY!r}")
        architecture = Architecture.from_json(text, where=where)
        _check_tensors(architecture, tensors, where=where)
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


def _broken(what: str, where: str, limit: str = "") -> PolicyError:
    return PolicyError(what, where=where, limit=limit, remedy="export the policy again")


def _check_tensors(architecture: Architecture, tensors: Mapping[str, Tensor], *, where: str) -> None:
    shapes = architecture.shapes()
    odd = sorted(set(shapes) ^ set(tensors))
    if odd:
        raise _broken(f"missing or unknown tensor {', '.join(odd)}", where)
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
            raise _broken(f"{name} is {tuple(tensor.shape)} {tensor.dtype}", where, f"{shape} torch.float32")
        if not bool(torch.isfinite(tensor).all()):
            raise _broken(f"{name} holds NaN or infinity", where, "finite numbers")
    sound = {
        "an observation.std that is not above 0": tensors["observation.std"] > 0,
        "an action.low that is not below action.high": tensors["action.low"] < tensors["action.high"],
        "a negative action.std": tensors["action.std"] >= 0,
    }
    for what, holds in sound.items():
        if not bool(holds.all()):
            raise _broken(what, where)


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
