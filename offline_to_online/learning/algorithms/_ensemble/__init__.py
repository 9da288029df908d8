"""An actor and an ensemble of critics of our own: networks, and all of a learner but the losses it learns by."""

from offline_to_online.learning.algorithms._ensemble.actor_critic import ActorCritic
from offline_to_online.learning.algorithms._ensemble.networks import Actor, CriticEnsemble

__all__ = ["Actor", "ActorCritic", "CriticEnsemble"]
