"""PRDC (Ran et al., 2023): the policy is held to the nearest logged pair instead of to the batch's own action.

Q     (r + gamma min Q'(s', pi'(s') + clipped noise) - Q(s, a))^2           (TD3, Fujimoto et al. 2018, algorithm 1)
pi    -alpha Q(s, pi(s)) / mean |Q| + (a_near - pi(s))^2, where a_near is the action of the logged pair whose
      (beta s, a) lies nearest to (beta s, pi(s))                           (the data set constraint, section 4)

Its ``make`` wants the offline replay: the search is over all logged pairs, which stay what they are online. The policy
is deterministic; it and the targets move at every second update. The search runs on the CPU, whatever the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from offline_to_online.dataset.spec import ActionSchema, ObservationSchema
from offline_to_online.learning.algorithms import _d3rlpy
from offline_to_online.learning.learner import Learner, Normaliser
from offline_to_online.learning.replay import Replay

NEEDS_SUPPORT = True
NEEDS_DATA = True
PESSIMISM = (
    "a data set constraint: the policy climbs the critic's value, brought to a known scale, against the squared "
    "distance from the nearest logged pair's action, and the smaller of two critics is bootstrapped"
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of PRDC.

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
        alpha: weight of the value against the constraint, which counts 1; ``scale_behaviour`` scales that 1.
        beta: how much a deviation of an observation counts in the search, against one of half an action's range.
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
    beta: float = 2.0
    exploration_std: float = 0.1

    def __post_init__(self) -> None:
        _d3rlpy.check_settings(self, alpha=(0.0, 1e6), beta=(0.0, 1e6))


def make(
    config: Config,
    *,
    observation: ObservationSchema,
    action: ActionSchema,
    normaliser: Normaliser,
    seed: int,
    data: Replay,
    device: str = "cpu",
) -> Learner:
    """A learner with weights drawn from the seed; the global random state stays as it is.

    Args:
        config: its settings.
        observation: names and sizes.
        action: names and bounds.
        normaliser: of the observations.
        seed: of weights and draws.
        data: the logged steps that the policy is held to, as they are now.
        device: that updates run on, as torch names it.
    """
    return _d3rlpy.D3rlpyLearner(
        _parts(config),
        observation=observation,
        action=action,
        normaliser=normaliser,
        seed=seed,
        device=device,
        logged=data.gather(torch.arange(len(data), device=data.device)),
    )


def _parts(config: Config) -> _d3rlpy.Parts:
    optimisers = {"actor": _d3rlpy.FlatAdamFactory(), "critic": _d3rlpy.FlatAdamFactory()}
    settings = _d3rlpy.d3rlpy().algos.PRDCConfig(
        **_d3rlpy.value_settings(config, optimisers),
        target_smoothing_sigma=config.smoothing_std,
        target_smoothing_clip=config.smoothing_clip,
        alpha=config.alpha,
        beta=config.beta,
        update_actor_interval=config.actor_every,
    )

    def remember(impl: Any, observations: Tensor, actions: Tensor) -> None:
        # One of its own: d3rlpy's is shared by all of its learners. One job: others would only wait for it.
        impl._nbsr = type(impl._nbsr)(n_neighbors=1, n_jobs=1)
        impl._nbsr.fit(torch.cat([config.beta * observations, actions], dim=1).cpu().numpy())

    return _d3rlpy.Parts(
        settings=settings,
        optimisers=optimisers,
        average_decay=config.average_decay,
        exploration_std=config.exploration_std,
        draws=True,
        weigher=_d3rlpy.scaled_loss("dc_loss"),
        remember=remember,
    )
