"""Implicit Q-learning (Kostrikov, Nair and Levine, 2021): better than the data without asking beyond it.

V     expectile regression of min Q(s, a) over logged pairs           (equation 5)
Q     (r + gamma V(s') - Q(s, a))^2                                   (equation 6)
pi    exp(temperature (min Q - V)) log pi(a | s) over logged pairs    (equation 7)
"""

from __future__ import annotations

from dataclasses import dataclass

from offline_to_online.learning.algorithms import _d3rlpy

NEEDS_SUPPORT = True
PESSIMISM = (
    "in-sample learning: values are an expectile over logged actions only, the smaller of two critics counts, "
    "and the policy is drawn by advantage-weighted cloning of logged actions, so no unlogged action is ever valued"
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of implicit Q-learning.

    Attributes:
        updates: gradient steps of the offline training.
        batch_size: transitions per gradient step.
        actor_learning_rate: of Adam, for the policy.
        critic_learning_rate: of Adam, for the critics and the value function.
        average_decay: of the moving average of the policy's weights that acts, per update, in [0, 1);
            0 is the last weights. It covers no more than about the last tenth of the updates, whatever the decay.
        hidden_units: width of each hidden layer (ReLU) of every network.
        expectile: which expectile of the logged actions' values stands for the best one, in (0, 1);
            0.5 is their mean, towards 1 their maximum.
        temperature: how strongly the policy prefers advantage (inverse temperature); 0 is cloning.
        max_weight: the largest weight that one transition may get in the policy's loss.
        gamma: discount per step.
        n_step: rewards summed before the value of what follows stands for the rest (steps).
        tau: share by which the target critics follow the critics at each update.
        critics: how many critics; the smallest value counts.
    """

    updates: int = 6000
    batch_size: int = 256
    actor_learning_rate: float = 3e-4
    critic_learning_rate: float = 3e-4
    average_decay: float = 0.999
    hidden_units: tuple[int, ...] = (256, 256)
    expectile: float = 0.8
    temperature: float = 3.0
    max_weight: float = 100.0
    gamma: float = 0.98
    n_step: int = 1
    tau: float = 0.005
    critics: int = 2

    def __post_init__(self) -> None:
        _d3rlpy.check_settings(self, expectile=(0.01, 0.99), temperature=(0.0, 1e3), max_weight=(1e-3, 1e6))


def _parts(config: Config) -> _d3rlpy.Parts:
    optimisers = {"actor": _d3rlpy.FlatAdamFactory(), "critic": _d3rlpy.FlatAdamFactory()}
    settings = _d3rlpy.d3rlpy().algos.IQLConfig(
        **_d3rlpy.value_settings(config, optimisers),
        value_encoder_factory=_d3rlpy.encoder(config.hidden_units),
        expectile=config.expectile,
        weight_temp=config.temperature,
        max_weight=config.max_weight,
    )
    return _d3rlpy.Parts(settings=settings, optimisers=optimisers, average_decay=config.average_decay, asks_twice=True)


make = _d3rlpy.learner_of(_parts)
