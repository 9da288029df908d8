"""TD3+BC (Fujimoto and Gu, 2021): a critic's gradient and cloning, on one scale.

Q     (r + gamma min Q'(s', pi'(s') + clipped noise) - Q(s, a))^2           (TD3, Fujimoto et al. 2018, algorithm 1)
pi    -alpha Q(s, pi(s)) / mean |Q| + (a - pi(s))^2 over logged pairs       (equations 3 and 5)

The policy is deterministic; it and the targets move at every second update.
"""

from __future__ import annotations

from dataclasses import dataclass

from offline_to_online.learning.algorithms import _d3rlpy

NEEDS_SUPPORT = True
PESSIMISM = (
    "a pull towards logged actions: the policy climbs the critic's value, brought to a known scale, against the "
    "squared distance from the logged action, and the smaller of two critics is bootstrapped"
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of TD3+BC.

    Attributes:
        updates: gradient steps of the offline training.
        batch_size: transitions per gradient step.
        actor_learning_rate: of Adam, for the policy.
        critic_learning_rate: of Adam, for the critics.
        average_decay: of the moving average of the policy's weights that acts, per update of the policy, in [0, 1);
            0 is the last weights. It covers no more than about the last tenth of the updates, whatever the decay.
        hidden_units: width of each hidden layer (ReLU) of every network.
        gamma: discount per step.
        n_step: rewards summed before the value of what follows stands for the rest (steps).
        tau: share by which the targets follow critics and policy, whenever the policy moves.
        critics: how many critics; the smallest value counts.
        smoothing_std: standard deviation of the noise on the action that is bootstrapped; actions lie in [-1, 1].
        smoothing_clip: largest size of that noise.
        actor_every: the policy moves at every so many updates of the critics (count).
        alpha: weight of the value against cloning, which counts 1; ``scale_behaviour`` scales that 1. 0 is cloning.
        exploration_std: standard deviation of exploring actions, as a share of half of each action's range.
    """

    updates: int = 6000
    batch_size: int = 256
    actor_learning_rate: float = 3e-4
    critic_learning_rate: float = 3e-4
    average_decay: float = 0.999
    hidden_units: tuple[int, ...] = (256, 256)
    gamma: float = 0.98
    n_step: int = 1
    tau: float = 0.005
    critics: int = 2
    smoothing_std: float = 0.2
    smoothing_clip: float = 0.5
    actor_every: int = 2
    alpha: float = 2.5
    exploration_std: float = 0.1

    def __post_init__(self) -> None:
        _d3rlpy.check_settings(self, alpha=(0.0, 1e6))


def _parts(config: Config) -> _d3rlpy.Parts:
    optimisers = {"actor": _d3rlpy.FlatAdamFactory(), "critic": _d3rlpy.FlatAdamFactory()}
    settings = _d3rlpy.d3rlpy().algos.TD3PlusBCConfig(
        **_d3rlpy.value_settings(config, optimisers),
        target_smoothing_sigma=config.smoothing_std,
        target_smoothing_clip=config.smoothing_clip,
        alpha=config.alpha,
        update_actor_interval=config.actor_every,
    )
    return _d3rlpy.Parts(
        settings=settings,
        optimisers=optimisers,
        average_decay=config.average_decay,
        exploration_std=config.exploration_std,
        draws=True,
        weigher=_d3rlpy.scaled_loss("bc_loss"),
    )


make = _d3rlpy.learner_of(_parts)
