"""Conservative Q-learning (Kumar, Zhou, Tucker and Levine, 2020): what was not logged is worth less.

Q     (r + gamma min Q'(s', pi(s')) - Q(s, a))^2
      + alpha w (log sum_a' exp Q(s, a') - Q(s, a) - threshold)             (equation 4, CQL(H) with a multiplier)
alpha ascends the last line; the sum is over actions drawn uniformly, at s and at s' from the policy, by importance
pi    temperature log pi(a | s) - min Q(s, a), a drawn from the policy      (SAC, Haarnoja et al. 2018b, equation 7)

Acting greedily is the policy's squashed mean. Its deviation depends on the observation, which no exported policy
holds: exploring, it deviates by ``exploration_std``.
"""

from __future__ import annotations

from dataclasses import dataclass

from offline_to_online.learning.algorithms import _d3rlpy

NEEDS_SUPPORT = True
PESSIMISM = (
    "a conservative term: the critics' values are pushed down on actions drawn from the policy and at random and up on "
    "the logged ones, until the former are worth at most a threshold more; the smaller of two critics counts"
)


@dataclass(frozen=True, kw_only=True)
class Config(_d3rlpy.ConservativeSettings):  # noqa: D101 - the settings' own, below
    __doc__ = _d3rlpy.ConservativeSettings.__doc__


def _parts(config: Config) -> _d3rlpy.Parts:
    return _d3rlpy.conservative_parts(config, _d3rlpy.d3rlpy().algos.CQLConfig)


make = _d3rlpy.learner_of(_parts)
