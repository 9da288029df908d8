"""Budget on interventions: guard stops, human takeovers and emergency stops over a window of rollouts."""

from __future__ import annotations

from dataclasses import dataclass

from offline_to_online.online.evidence import Evidence, Verdict
from offline_to_online.online.gates._budget import demand_limit, demand_window, over, spent

RULE = "interventions"


@dataclass(frozen=True, kw_only=True)
class Config:
    """At most ``limit`` interventions (steps) over the last ``window`` rollouts (0: all of the run)."""

    limit: float
    window: int = 0

    def __post_init__(self) -> None:
        demand_limit(self.limit, where=f"{RULE}.limit")
        demand_window(self.window, where=f"{RULE}.window")


def check(evidence: Evidence, config: Config) -> Verdict:
    """Whether the interventions of the window lie within their budget."""
    total = sum(rollout.interventions for rollout in evidence.last(config.window))
    return spent(RULE, total, config.limit, unit="interventions", what=f"interventions {over(config.window)}:")
