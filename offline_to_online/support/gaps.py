"""Regions that the data lacks and the policy goes to, named with a known error.

Episodes, not steps, are exchangeable: so it is episodes that visit a region that are counted, and a region is called a
gap only where chance could hardly have kept so many of the data's episodes out of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.support.sensors import ALIVE, MISSING

GAP_ALPHA = 0.01
GAP_RATIO, THIN_RATIO, THIN_SHARE = 0.01, 0.1, 0.01
GAP, THIN, SUPPORTED, NOT_PROPOSED = ORDER = ("gap", "thin", "supported", "not proposed")
RULE = (
    f"gap: the data's share of steps in the region is less than {GAP_RATIO:g} of the policy's share of proposals, and "
    f"fewer of its episodes visit it than chance allows (Fisher's exact test, corrected after Tarone for the number of "
    f"regions: that any region is named by chance has probability at most {GAP_ALPHA:g}, while logged and audited "
    f"episodes are exchangeable); thin: less than {THIN_RATIO:g} of the policy's share, where that is at least "
    f"{THIN_SHARE:g}"
)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What supports a region, beside how often a policy goes there.

    Attributes:
        name: ``kind/name``.
        status: ``gap``, ``thin``, ``supported`` or ``not proposed``, see ``RULE``.
        data_steps, data_episodes, data_share: the logged steps in it, the logged episodes that visit it, and the
            share of all logged steps, in [0, 1].
        share: of the policy's proposals, those that lie in it, in [0, 1]; its larger one, greedy or exploring.
        episodes: audited episodes in which the policy proposes something in it; the larger number, as above.
        chance: corrected p-value of "the data's episodes visit it no less than the policy's".
    """

    name: str
    status: str
    data_steps: int
    data_episodes: int
    data_share: float
    share: float
    episodes: int
    chance: float


def standings(
    logged: Mapping[str, Array], logged_of: Array, used: Sequence[Mapping[str, Array]], used_of: Array
) -> list[Standing]:
    """How each region stands, gaps first: the most proposed first, a sensor before the regions that are told by it.

    Whatever is empty only because a larger region was never recorded lies inside that one, and is proposed no more
    often than it: so the larger one comes first.

    Args:
        logged: region name -> bool mask over the logged rows (N,).
        logged_of: episode of each logged row, (N,) indices from 0 without holes.
        used: for each way in which the policy acts, region name -> bool mask over its proposals (M,).
        used_of: episode of each proposal, (M,) indices from 0 without holes.
    """
    names = sorted(logged)
    visits = [_visits(logged[name], logged_of) for name in names]
    # Each way of acting is a test of its own: two draws of a policy against one of the data would not be alike.
    gone = np.array([[_visits(masks[name], used_of) for name in names] for masks in used], dtype=int)
    count = int(logged_of[-1]) + 1, int(used_of[-1]) + 1
    tests = chances(np.tile(np.array(visits, dtype=int), len(used)), count[0], gone.reshape(-1), count[1])
    chance = tests.reshape(gone.shape).min(axis=0)
    found = []
    for name, data_episodes, episodes, p in zip(names, visits, gone.max(axis=0).tolist(), chance, strict=True):
        data_share, share = float(np.mean(logged[name])), max(float(np.mean(masks[name])) for masks in used)
        found.append(
            Standing(
                name=name,
                status=_status(data_share, share, float(p)),
                data_steps=int(np.sum(logged[name])),
                data_episodes=data_episodes,
                data_share=data_share,
                share=share,
                episodes=episodes,
                chance=float(p),
            )
        )
    return sorted(found, key=lambda one: (*place(one), one.name))


def place(one: Standing) -> tuple[int, float, bool]:
    """Sorts by status, then by how much the policy goes there, then sensors first."""
    return ORDER.index(one.status), -one.share, not one.name.startswith((ALIVE, MISSING))


def chances(data: Array, data_episodes: int, proposed: Array, proposed_episodes: int) -> Array:
    """Corrected p-values (R,) of "the data's episodes visit this region no less than the policy's".

    Fisher's exact test, one-sided: if the logged and the audited episodes are exchangeable, then which of them are the
    logged ones is a draw without replacement, and the number of visitors among those is hypergeometric. The correction
    is Tarone's (1990, "A modified Bonferroni method for discrete data"): a region that too few episodes visit, or
    that all do, could not be significant however they were drawn, and costs nothing. Whatever the dependence between
    regions, that any is at most GAP_ALPHA without cause has probability at most GAP_ALPHA.

    Args:
        data: (R,), how many of the data's episodes visit each region.
        data_episodes: how many there are.
        proposed: (R,), in how many audited episodes the policy proposes something in each region.
        proposed_episodes: how many there are.
    """
    from scipy.stats import hypergeom

    every, visitors = data_episodes + proposed_episodes, data + proposed
    chance = hypergeom.cdf(data, every, visitors, data_episodes)
    least = hypergeom.cdf(np.maximum(visitors - proposed_episodes, 0), every, visitors, data_episodes)
    corrected: Array = np.minimum(chance * _testable(least), 1.0)
    return corrected


def _testable(least: Array) -> int:
    """Tarone's factor: the smallest K for which at most K regions could reach alpha / K; ``least`` (R,) as they can."""
    return next(k for k in range(1, len(least) + 2) if np.sum(least <= GAP_ALPHA / k) <= k)


def _visits(mask: Array, episode_of: Array) -> int:
    return len(np.unique(episode_of[mask]))


def _status(data_share: float, share: float, chance: float) -> str:
    if share == 0:
        return NOT_PROPOSED
    if chance <= GAP_ALPHA and data_share < GAP_RATIO * share:
        return GAP
    return THIN if share >= THIN_SHARE and data_share < THIN_RATIO * share else SUPPORTED
