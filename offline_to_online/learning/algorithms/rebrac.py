"""ReBRAC (Tarasov et al., 2023): TD3+BC with both penalties of behaviour-regularised actor-critics, set apart.

Q     (r + gamma (min Q'(s', a') - critic_beta (a' - logged a')^2) - Q(s, a))^2,  a' = pi'(s') + clipped noise
pi    -min Q(s, pi(s)) / mean |Q| + actor_beta (a - pi(s))^2

(section 3 of the paper; the value's scale is TD3+BC's, Fujimoto and Gu 2021, equation 5.)

Squares are summed over action dimensions. Where an episode ran out of time no next action was logged; its last one
stands for it. As d3rlpy does, layer normalisation follows the activation.
"""

from __future__ import annotations

from dataclasses import dataclass

from offline_to_online.learning.algorithms import _d3rlpy

NEEDS_SUPPORT = True
PESSIMISM = (
    "two pulls towards logged actions: a step away from them lowers the value that is bootstrapped, and another the "
    "policy's objective; the smaller of two critics counts, and layer normalisation keeps them from extrapolating"
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of ReBRAC.

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
        actor_beta: weight of the squared distance from the logged action, for the policy; ``scale_behaviour`` scales
            this and the next.
        critic_beta: weight of that distance of the next action, in the critics' targets.
        layer_norm: whether the critics' hidden layers end in layer normalisation, as the paper's do.
        exploration_std: standard deviation of exploring actions, as a share of half of each action's range.
    """

    updates: int = 6000
    batch_size: int = 1024
    actor_learning_rate: float = 1e-3
    critic_learning_rate: float = 1e-3
    average_decay: float = 0.999
    hidden_units: tuple[int, ...] = (256, 256)
    gamma: float = 0.98
    n_step: int = 1
    tau: float = 0.005
    critics: int = 2
    smoothing_std: float = 0.2
    smoothing_clip: float = 0.5
    actor_every: int = 2
    actor_beta: float = 0.001
    critic_beta: float = 0.01
    layer_norm: bool = True
    exploration_std: float = 0.1

    def __post_init__(self) -> None:
        _d3rlpy.check_settings(self, actor_beta=(0.0, 1e6), critic_beta=(0.0, 1e6))


def _parts(config: Config) -> _d3rlpy.Parts:
    optimisers = {"actor": _d3rlpy.FlatAdamFactory(), "critic": _d3rlpy.FlatAdamFactory()}
    betas = {"actor_beta": config.actor_beta, "critic_beta": config.critic_beta}
    settings = _d3rlpy.d3rlpy().algos.ReBRACConfig(
        **_d3rlpy.value_settings(config, optimisers, layer_norm=config.layer_norm),
        **betas,
        target_smoothing_sigma=config.smoothing_std,
        target_smoothing_clip=config.smoothing_clip,
        update_actor_interval=config.actor_every,
    )
    return _d3rlpy.Parts(
        settings=settings,
        optimisers=optimisers,
        average_decay=config.average_decay,
        exploration_std=config.exploration_std,
        draws=True,
        weigher=_d3rlpy.scaled_attributes(**betas),
    )


make = _d3rlpy.learner_of(_parts)
