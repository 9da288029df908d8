"""What every learning algorithm is to this project, and what all of them share.

An algorithm is one file in ``algorithms/``. It gives:

    Config            frozen, keyword-only dataclass: every setting with its unit; `updates` and `batch_size` among them
    NEEDS_SUPPORT     whether it may be trained only after the support audit's estimator exists
    PESSIMISM         one sentence: what keeps its values honest where the data is silent
    make(config, *, observation, action, normaliser, seed, device="cpu") -> Learner

One whose values are corrected by what the data support says also ``NEEDS_PENALTY = True``; its ``make`` is then given
``penalty=``, a ``Penalty``. One that compares with all logged pairs, and not with a batch's alone, says ``NEEDS_DATA =
True``; its ``make`` is then given ``data=``, the offline ``Replay``. One that has an ensemble of critics may give
``disagreement(config, state, *, observation, action)``, for the audit. A Config that learns values has ``gamma`` and
``n_step``: the replay is filled accordingly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import replacing
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError, PolicyError, TrainingError
from offline_to_online.learning.replay import Batch

CONSTANT_STD = 1e-6
SMALLEST_STD = 1e-3


class Learner(Protocol):
    """A policy that can still learn; the same ``update`` offline and online."""

    def update(self, batch: Batch) -> dict[str, float]:
        """One gradient step; the losses by name.

        Raises:
            TrainingError: the batch or a gradient is not finite; the learner is as it was before.
        """

    def act(self, observations: Array) -> Array:
        """Greedy actions, float32 (N, A), in robot units, for observations (N, O)."""

    def explore(self, observations: Array, rng: np.random.Generator) -> Array:
        """Exploring actions, float32 (N, A), inside the bounds."""

    def scale_learning_rates(self, *, actor: float = 1.0, critic: float = 1.0) -> None:
        """Set the rates to these multiples of the configured ones; 0 freezes the weights.

        The schedule of an online run goes through here. An algorithm without a critic
        ignores ``critic``.
        """

    def scale_behaviour(self, factor: float) -> None:
        """Set the weight of the behaviour regularisation to this multiple of the configured one.

        Whatever holds the policy to the data, or its values down away from it; an algorithm that has no such weight
        ignores it. Part of the state.
        """

    def reset_critic_optimizer(self) -> None:
        """Forget the moments of the values' optimiser; weights and rates stay."""

    def adopt(self, policy: Path) -> None:
        """Start from an exported policy: its weights and its normaliser. Values and optimisers stay as they are.

        Raises:
            PolicyError: broken, or of another architecture.
        """

    def state(self) -> dict[str, Tensor]:
        """All that continuing bit for bit needs, as independent copies."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state of a learner of the same configuration.

        Raises:
            PolicyError: the state is of another algorithm or size.
        """

    def export(self, path: Path) -> None:
        """Write the policy as it stands to ``policy.safetensors`` at ``path``, in one step."""


class Penalty(Protocol):
    """What an action costs for being unlikely under the data; asked for here, since learning imports no support."""

    def __call__(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Nats (N,), at least 0, of actions (N, A) at observations (N, O), robot units; differentiable."""


def needs_penalty(algorithm: ModuleType) -> bool:
    """Whether an algorithm's ``make`` wants a ``Penalty``."""
    return bool(getattr(algorithm, "NEEDS_PENALTY", False))


def needs_data(algorithm: ModuleType) -> bool:
    """Whether an algorithm's ``make`` wants the offline replay."""
    return bool(getattr(algorithm, "NEEDS_DATA", False))


@dataclass(frozen=True, kw_only=True, eq=False)
class Normaliser:
    """Brings observations to mean 0 and deviation 1.

    Attributes:
        mean: float32, shape (O,), in observation units.
        std: float32, shape (O,), in observation units, above 0.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def from_episodes(cls, episodes: Sequence[Episode]) -> Normaliser:
        """From the observations that a decision was taken on (the last of an episode is none).

        A deviation is at least 1e-3 units, and 1 for a dimension that never moved, lest a small move of
        it online drown all others.

        Raises:
            TrainingError: there are no episodes.
        """
        if not episodes:
            raise TrainingError("no episodes to normalise by", limit="at least 1", remedy="check the train split")
        rows = np.concatenate([episode.observations[:-1] for episode in episodes]).astype(np.float64)
        std = rows.std(axis=0)
        std = np.where(std < CONSTANT_STD, 1.0, np.maximum(std, SMALLEST_STD))
        return cls(mean=_float32(rows.mean(axis=0)), std=_float32(std))

    @classmethod
    def identity(cls, size: int) -> Normaliser:
        """One that changes nothing."""
        return cls(mean=torch.zeros(size), std=torch.ones(size))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Normaliser:
        """The inverse of ``to_tensors``."""
        return cls(mean=tensors["observation.mean"].clone(), std=tensors["observation.std"].clone())

    def to(self, device: torch.device) -> Normaliser:
        """The same one for observations on a device."""
        return Normaliser(mean=self.mean.to(device), std=self.std.to(device))

    def to_tensors(self) -> dict[str, Tensor]:
        """``observation.mean`` and ``observation.std``, as a policy file holds them."""
        return {"observation.mean": self.mean.clone(), "observation.std": self.std.clone()}

    def apply(self, observations: Tensor) -> Tensor:
        """Observations (N, O) normalised, as a new tensor."""
        # The same two operations in the same order as in Policy, so that both act alike to the last bit.
        return observations.sub(self.mean).div_(self.std)


def save_state(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write a learner's state as safetensors, in one step; the same state gives the same bytes."""
    content = safetensors.torch.save({name: tensor.contiguous() for name, tensor in sorted(state.items())})
    with replacing(path) as partial:
        partial.write_bytes(content)


def load_state(path: Path) -> dict[str, Tensor]:
    """The state that ``save_state`` wrote. Nothing is unpickled.

    Raises:
        PolicyError: no such file, or no safetensors file.
    """
    try:
        return safetensors.torch.load(path.read_bytes())
    except OSError as error:
        raise PolicyError(
            f"cannot read the learner: {error.strerror}", where=str(path), remedy="train it, or check the path"
        ) from error
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise PolicyError(
            f"this is no safetensors file: {error}", where=str(path), remedy="train the learner again"
        ) from error


def check_batch(batch: Batch, *, where: str) -> None:
    """Refuse a batch that is not finite.

    Raises:
        TrainingError: the first field that holds NaN or infinity.
    """
    for each in fields(Batch):
        # A sum is finite only if every term is, and costs a tenth of asking each term.
        if not math.isfinite(float(getattr(batch, each.name).sum())):
            raise TrainingError(
                f"{each.name} of the batch hold NaN or infinity",
                where=where,
                limit="finite numbers; the update was not applied",
                remedy="check the episodes",
            )


def check_rate_factors(**factors: float) -> None:
    """Refuse a multiple of a learning rate that is negative or not finite.

    Raises:
        TrainingError: the first one, by whose rate it is.
    """
    for name, factor in factors.items():
        if not 0.0 <= factor < math.inf:
            raise TrainingError(
                f"a learning rate factor of {factor:g}", where=name, limit="0 or more", remedy="mend it"
            )


def check_behaviour_factor(factor: float) -> None:
    """Refuse a multiple of the behaviour weight that is negative or not finite.

    Raises:
        TrainingError: it is.
    """
    if not 0.0 <= factor < math.inf:
        raise TrainingError(f"a behaviour factor of {factor:g}", limit="0 or more", remedy="mend it")


def check_same(mine: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Refuse a state whose names and shapes are not a learner's own.

    Raises:
        PolicyError: the first tensor that does not fit.
    """
    odd = sorted(set(mine) ^ set(given))
    wrong = odd or sorted(name for name in mine if mine[name].shape != given[name].shape)
    if wrong:
        raise PolicyError(
            f"a learner's state that does not fit: {wrong[0]}" + (f" and {len(wrong) - 1} more" if wrong[1:] else ""),
            limit="the tensors of the same algorithm and configuration",
            remedy="use the configuration it was trained with",
        )


def below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def check_ranges(config: Any, **ranges: tuple[float, float]) -> None:
    """Refuse a setting outside its closed range ``name=(low, high)``.

    Raises:
        ParameterError: the first one outside, with its range.
    """
    owner = type(config).__module__.rpartition(".")[2]
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else (value,):
            if not low <= number <= high:
                raise ParameterError(
                    f"{name} is {value}",
                    where=owner,
                    limit=f"{low:g} to {high:g}",
                    remedy=f"mend {owner}.{name} in params.yaml",
                )


def _float32(array: Array) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))
