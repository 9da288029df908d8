"""Calibrated Q-learning (Nakamoto et al., 2023): conservative, but never below what was already achieved.

Q     as CQL's (``cql``), where the values pushed down are max(Q(s, a'), return to go of the logged step)
                                                                            (equation 5.1; a' drawn from the policy)
pi    as CQL's

So going online does not begin with unlearning values that are below any policy's. The return to go is that of the
logged episode, its last reward going on for ever where only time ran out (``learning/replay``).
"""

from __future__ import annotations

from dataclasses import dataclass

from offline_to_online.learning.algorithms import _d3rlpy

NEEDS_SUPPORT = True
PESSIMISM = (
    "a calibrated conservative term: values are pushed down on actions drawn from the policy and at random and up on "
    "the logged ones, but never below what the logged episode went on to earn; the smaller of two critics counts"
)


@dataclass(frozen=True, kw_only=True)
class Config(_d3rlpy.ConservativeSettings):  # noqa: D101 - the settings' own, below
    __doc__ = _d3rlpy.ConservativeSettings.__doc__


def _parts(config: Config) -> _d3rlpy.Parts:
    return _d3rlpy.conservative_parts(config, _d3rlpy.d3rlpy().algos.CalQLConfig)


make = _d3rlpy.learner_of(_parts)
