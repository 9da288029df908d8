"""Budget on the robot's constraint cost: c(tau) of each episode, and the total over a window."""

from __future__ import annotations

import math
from dataclasses import dataclass

from offline_to_online.online.evidence import Evidence, Verdict
from offline_to_online.online.gates._budget import demand_limit, demand_window, over, spent

RULE = "constraint_cost"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Cost (robot's unit) of at most ``per_episode`` in a rollout and ``total`` over ``window`` rollouts (0: all)."""

    per_episode: float
    total: float
    window: int = 0

    def __post_init__(self) -> None:
        demand_limit(self.per_episode, where=f"{RULE}.per_episode")
        demand_limit(self.total, where=f"{RULE}.total")
        demand_window(self.window, where=f"{RULE}.window")


def check(evidence: Evidence, config: Config) -> Verdict:
    """Whether both budgets hold; the verdict names the one that is broken, or else the one nearer to its limit."""
    costs = [rollout.cost for rollout in evidence.last(config.window)]
    worst = spent(
        RULE,
        max(costs, default=0.0),
        config.per_episode,
        unit="cost",
        what=f"worst episode's cost {over(config.window)}:",
    )
    total = spent(RULE, math.fsum(costs), config.total, unit="cost", what=f"total cost {over(config.window)}:")
    return max((worst, total), key=_nearness)


def _nearness(verdict: Verdict) -> tuple[bool, float]:
    return (not verdict.passed, verdict.measured / verdict.limit if verdict.limit else verdict.measured)
