"""Behaviour cloning: do what the operators did. Trained and reported before anything cleverer.

Minimises E[(a - pi(s))^2] over logged pairs; the policy is deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass

from offline_to_online.learning.algorithms import _d3rlpy

NEEDS_SUPPORT = False
PESSIMISM = "none is needed: behaviour cloning estimates no values and repeats what the operators did"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of behaviour cloning.

    Attributes:
        updates: gradient steps of the offline training.
        batch_size: transitions per gradient step.
        learning_rate: of Adam.
        average_decay: of the moving average of weights that acts, per update, in [0, 1); 0 is the last weights.
            It covers no more than about the last tenth of the updates, whatever the decay.
        hidden_units: width of each hidden layer (ReLU).
        exploration_std: standard deviation of exploring actions, as a share of half of each action's range.
    """

    updates: int = 5000
    batch_size: int = 256
    learning_rate: float = 1e-3
    average_decay: float = 0.999
    hidden_units: tuple[int, ...] = (256, 256)
    exploration_std: float = 0.1

    def __post_init__(self) -> None:
        _d3rlpy.check_settings(self)


def _parts(config: Config) -> _d3rlpy.Parts:
    optimisers = {"actor": _d3rlpy.FlatAdamFactory()}
    settings = _d3rlpy.d3rlpy().algos.BCConfig(
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        policy_type="deterministic",
        encoder_factory=_d3rlpy.encoder(config.hidden_units),
        optim_factory=optimisers["actor"],
    )
    return _d3rlpy.Parts(
        settings=settings,
        optimisers=optimisers,
        average_decay=config.average_decay,
        exploration_std=config.exploration_std,
    )


make = _d3rlpy.learner_of(_parts)
