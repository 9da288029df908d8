"""AWAC (Nair et al., 2020): cloning, weighted by how much better than the policy a logged action is.

Q     (r + gamma (min Q'(s', a') - log pi(a' | s')) - Q(s, a))^2, a' drawn from the policy and squashed
pi    -log pi(a | s) exp((Q(s, a) - V(s)) / lambda) over logged pairs       (equation 13)

The paper's target has no entropy (algorithm 1). d3rlpy's has, with a temperature of one, since it is SAC's; it is kept
here as it is, for the same batches to give the same parameters. V is the mean value of actions drawn from the policy,
and the weights are normalised over the batch. It has no weight of a behaviour term that could be scaled: all of the
policy's loss is one. Exploring, it deviates as it learned to, by a deviation that does not depend on the observation.
"""

from __future__ import annotations

from dataclasses import dataclass

from offline_to_online.learning.algorithms import _d3rlpy

NEEDS_SUPPORT = True
PESSIMISM = (
    "advantage-weighted cloning: the policy only ever imitates logged actions, those more that are worth more than its "
    "own; the smaller of two critics counts, but they are asked about actions that the policy draws"
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of AWAC.

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
        tau: share by which the target critics follow the critics at each update.
        critics: how many critics; the smallest value counts.
        temperature: lambda: the smaller, the more advantage decides; towards infinity it is cloning.
        action_samples: actions drawn to value a state by (count).
    """

    updates: int = 6000
    batch_size: int = 1024
    actor_learning_rate: float = 3e-4
    critic_learning_rate: float = 3e-4
    average_decay: float = 0.999
    hidden_units: tuple[int, ...] = (256, 256)
    gamma: float = 0.98
    n_step: int = 1
    tau: float = 0.005
    critics: int = 2
    temperature: float = 1.0
    action_samples: int = 1

    def __post_init__(self) -> None:
        _d3rlpy.check_settings(self, temperature=(1e-3, 1e6))


def _parts(config: Config) -> _d3rlpy.Parts:
    optimisers = {"actor": _d3rlpy.FlatAdamFactory(), "critic": _d3rlpy.FlatAdamFactory()}
    settings = _d3rlpy.d3rlpy().algos.AWACConfig(
        **_d3rlpy.value_settings(config, optimisers), lam=config.temperature, n_action_samples=config.action_samples
    )
    return _d3rlpy.Parts(settings=settings, optimisers=optimisers, average_decay=config.average_decay, draws=True)


make = _d3rlpy.learner_of(_parts)
