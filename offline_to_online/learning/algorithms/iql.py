"""Implicit Q-learning (Kostrikov, Nair and Levine, 2021): better than the data without asking beyond it.

V     expectile regression of min Q(s, a) over logged pairs           (equation 5)
Q     (r + gamma V(s') - Q(s, a))^2                                   (equation 6)
pi    exp(temperature (min Q - V)) log pi(a | s) over logged pairs    (equation 7)
"""

from __future__ import annotations

from dataclasses import dataclass

from offline_to_online.dataset.spec import ActionSchema, ObservationSchema
from offline_to_online.learning.algorithms import _d3rlpy
from offline_to_online.learning.learner import Learner, Normaliser, check_ranges

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
    tau: float = 0.005
    critics: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden_units", tuple(self.hidden_units))  # YAML gives a list
        rate = (1e-8, 1.0)
        check_ranges(
            self,
            updates=(0, 10**9),
            batch_size=(1, 10**6),
            actor_learning_rate=rate,
            critic_learning_rate=rate,
            average_decay=(0.0, 0.999999),
            hidden_units=(1, 10**5),
            expectile=(0.01, 0.99),
            temperature=(0.0, 1e3),
            max_weight=(1e-3, 1e6),
            gamma=(0.0, 1.0),
            tau=(1e-6, 1.0),
            critics=(1, 100),
        )


def make(
    config: Config, *, observation: ObservationSchema, action: ActionSchema, normaliser: Normaliser, seed: int
) -> Learner:
    """A learner with weights drawn from the seed; the global random state stays as it is."""
    return _d3rlpy.D3rlpyLearner(
        lambda: _parts(config), observation=observation, action=action, normaliser=normaliser, seed=seed
    )


def _parts(config: Config) -> _d3rlpy.Parts:
    actor, critic = _d3rlpy.FlatAdamFactory(), _d3rlpy.FlatAdamFactory()
    layers = _d3rlpy.encoder(config.hidden_units)
    algo = _d3rlpy.d3rlpy().algos.IQLConfig(
        batch_size=config.batch_size,
        actor_learning_rate=config.actor_learning_rate,
        critic_learning_rate=config.critic_learning_rate,
        actor_encoder_factory=layers,
        critic_encoder_factory=layers,
        value_encoder_factory=layers,
        actor_optim_factory=actor,
        critic_optim_factory=critic,
        expectile=config.expectile,
        weight_temp=config.temperature,
        max_weight=config.max_weight,
        gamma=config.gamma,
        tau=config.tau,
        n_critics=config.critics,
    )
    return _d3rlpy.Parts(
        algo=algo.create(device="cpu:0"), actor=actor, critic=critic, average_decay=config.average_decay
    )
