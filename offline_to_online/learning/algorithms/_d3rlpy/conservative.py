"""Settings and parts of conservative Q-learning, which its calibrated form shares to the last one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from offline_to_online.learning.algorithms._d3rlpy.flat_adam import FlatAdamFactory
from offline_to_online.learning.algorithms._d3rlpy.parts import (
    ACTOR,
    CONSERVATISM,
    CRITIC,
    RATE,
    TEMPERATURE,
    Parts,
    check_settings,
    scaled_attributes,
    value_settings,
)


@dataclass(frozen=True, kw_only=True)
class ConservativeSettings:
    """Settings of conservative and of calibrated Q-learning.

    Attributes:
        updates: gradient steps of the offline training.
        batch_size: transitions per gradient step.
        actor_learning_rate: of Adam, for the policy.
        critic_learning_rate: of Adam, for the critics.
        temperature_learning_rate: of Adam, for the temperature; 0 keeps it as it begins.
        alpha_learning_rate: of Adam, for alpha; 0 keeps it as it begins.
        average_decay: of the moving average of the policy's weights that acts, per update of the policy, in [0, 1);
            0 is the last weights. It covers no more than about the last tenth of the updates, whatever the decay.
        hidden_units: width of each hidden layer (ReLU) of every network.
        gamma: discount per step.
        n_step: rewards summed before the value of what follows stands for the rest (steps).
        tau: share by which the target critics follow the critics at each update.
        critics: how many critics; the smallest value counts.
        initial_temperature: weight of the policy's entropy, at first.
        initial_alpha: weight of the conservative term, at first; it then moves so that the term meets its threshold.
        alpha_threshold: how much more unlogged actions may be worth than logged ones.
        conservative_weight: a constant factor on the conservative term; ``scale_behaviour`` scales it. Alpha moves
            against it in time, unless its learning rate is 0.
        action_samples: actions drawn for each of the three parts of the conservative term (count).
        soft_backup: whether the entropy counts in the critics' targets, with an action that is drawn; else the
            policy's mean action is bootstrapped.
        exploration_std: standard deviation of exploring actions, as a share of half of each action's range. The
            deviation that the network learns depends on the observation, which an exported policy does not hold.
    """

    updates: int = 6000
    batch_size: int = 256
    actor_learning_rate: float = 1e-4
    critic_learning_rate: float = 3e-4
    temperature_learning_rate: float = 1e-4
    alpha_learning_rate: float = 1e-4
    average_decay: float = 0.999
    hidden_units: tuple[int, ...] = (256, 256)
    gamma: float = 0.98
    n_step: int = 1
    tau: float = 0.005
    critics: int = 2
    initial_temperature: float = 1.0
    initial_alpha: float = 1.0
    alpha_threshold: float = 10.0
    conservative_weight: float = 5.0
    action_samples: int = 10
    soft_backup: bool = False
    exploration_std: float = 0.1

    def __post_init__(self) -> None:
        check_settings(
            self,
            temperature_learning_rate=(0.0, RATE[1]),
            alpha_learning_rate=(0.0, RATE[1]),
            initial_temperature=(1e-6, 1e6),
            initial_alpha=(1e-6, 1e6),
            alpha_threshold=(-1e6, 1e6),
            conservative_weight=(0.0, 1e6),
        )


def conservative_parts(config: ConservativeSettings, algorithm: Any) -> Parts:
    """The parts of one of d3rlpy's two configuration classes, given as ``algorithm``."""
    optimisers = {role: FlatAdamFactory() for role in (ACTOR, CRITIC, TEMPERATURE, CONSERVATISM)}
    settings = algorithm(
        **value_settings(config, optimisers),
        temp_learning_rate=config.temperature_learning_rate,
        alpha_learning_rate=config.alpha_learning_rate,
        temp_optim_factory=optimisers[TEMPERATURE],
        alpha_optim_factory=optimisers[CONSERVATISM],
        initial_temperature=config.initial_temperature,
        initial_alpha=config.initial_alpha,
        alpha_threshold=config.alpha_threshold,
        conservative_weight=config.conservative_weight,
        n_action_samples=config.action_samples,
        soft_q_backup=config.soft_backup,
    )
    return Parts(
        settings=settings,
        optimisers=optimisers,
        average_decay=config.average_decay,
        exploration_std=config.exploration_std,
        draws=True,
        weigher=scaled_attributes(conservative_weight=config.conservative_weight),
    )
