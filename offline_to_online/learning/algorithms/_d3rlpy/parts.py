"""What an algorithm file chooses of d3rlpy, and the pieces that several of them choose alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from offline_to_online.learning.algorithms._d3rlpy.flat_adam import FlatAdamFactory
from offline_to_online.learning.algorithms._d3rlpy.library import encoder
from offline_to_online.learning.learner import check_ranges

ACTOR, CRITIC, TEMPERATURE, CONSERVATISM = "actor", "critic", "temperature", "conservatism"
"""Roles of optimisers. The first and the third belong to the policy, the others to the values."""

RATE = (1e-8, 1.0)
RANGES: Mapping[str, tuple[float, float]] = {
    "updates": (0, 10**9),
    "batch_size": (1, 10**6),
    "learning_rate": RATE,
    "actor_learning_rate": RATE,
    "critic_learning_rate": RATE,
    "average_decay": (0.0, 0.999999),
    "hidden_units": (1, 10**5),
    "exploration_std": (0.0, 1.0),
    "gamma": (0.0, 1.0),
    "n_step": (1, 10**4),
    "tau": (1e-6, 1.0),
    "critics": (1, 100),
    "actor_every": (1, 10**6),
    "smoothing_std": (0.0, 10.0),
    "smoothing_clip": (0.0, 2.0),
    "action_samples": (1, 1000),
}

Weigher = Callable[[float], None]
"""Sets the behaviour regularisation of a built algorithm to a multiple of the configured weight."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What an algorithm file chose.

    Attributes:
        settings: d3rlpy's configuration, from which its algorithm is built.
        optimisers: what makes each optimiser, by role: ``actor``, and where there are such ``critic``,
            ``temperature`` and ``conservatism``.
        average_decay: of the moving average of the policy's weights, per update of the policy; 0 is the last weights.
        exploration_std: standard deviation of exploring actions as a share of the half range; None takes
            the policy network's own, which then must not depend on the observation.
        draws: whether updates draw random numbers.
        asks_twice: whether both losses ask the target critics for the value of the same logged actions.
        weigher: given d3rlpy's built algorithm, what scales its behaviour regularisation; None: it has none.
        remember: shows d3rlpy's built algorithm all logged pairs, normalised observations (N, O) and actions (N, A) in
            [-1, 1]; None: it learns from batches alone.
    """

    settings: Any
    optimisers: Mapping[str, FlatAdamFactory]
    average_decay: float
    exploration_std: float | None = None
    draws: bool = False
    asks_twice: bool = False
    weigher: Callable[[Any], Weigher] | None = None
    remember: Callable[[Any, Tensor, Tensor], None] | None = None


def check_settings(config: Any, **ranges: tuple[float, float]) -> None:
    """Refuse a Config whose settings are out of range: those that ``RANGES`` knows, and the ones given.

    Raises:
        ParameterError: the first setting outside, with its range.
    """
    object.__setattr__(config, "hidden_units", tuple(config.hidden_units))  # YAML gives a list
    known = {name: limits for name, limits in RANGES.items() if hasattr(config, name)}
    check_ranges(config, **known, **ranges)


def value_settings(
    config: Any, optimisers: Mapping[str, FlatAdamFactory], *, layer_norm: bool = False
) -> dict[str, Any]:
    """What every algorithm of d3rlpy with an actor and critics is told in the same words.

    Args:
        config: our Config, whose fields go by the names used here.
        optimisers: for the actor and the critic.
        layer_norm: whether the critics' hidden layers end in one.
    """
    return {
        "batch_size": config.batch_size,
        "actor_learning_rate": config.actor_learning_rate,
        "critic_learning_rate": config.critic_learning_rate,
        "actor_encoder_factory": encoder(config.hidden_units),
        "critic_encoder_factory": encoder(config.hidden_units, layer_norm=layer_norm),
        "actor_optim_factory": optimisers[ACTOR],
        "critic_optim_factory": optimisers[CRITIC],
        "gamma": config.gamma,
        "tau": config.tau,
        "n_critics": config.critics,
    }


def scaled_attributes(**weights: float) -> Callable[[Any], Weigher]:
    """A weigher for weights that d3rlpy's algorithm keeps as attributes, given as configured."""

    def weigher(impl: Any) -> Weigher:
        def weigh(factor: float) -> None:
            for name, weight in weights.items():
                setattr(impl, f"_{name}", weight * factor)

        return weigh

    return weigher


def scaled_loss(name: str) -> Callable[[Any], Weigher]:
    """A weigher for a term of the policy's loss that d3rlpy adds with weight 1 and tells by this name."""

    def weigher(impl: Any) -> Weigher:
        compute, scale = impl.compute_actor_loss, [1.0]

        def compute_actor_loss(batch: Any, action: Any) -> Any:
            loss = compute(batch, action)
            if scale[0] == 1.0:
                return loss
            more = (scale[0] - 1.0) * getattr(loss, name)
            return dataclasses.replace(loss, actor_loss=loss.actor_loss + more)

        def weigh(factor: float) -> None:
            scale[0] = factor

        impl.compute_actor_loss = compute_actor_loss
        return weigh

    return weigher
