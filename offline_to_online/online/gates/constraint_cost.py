"""Budget on the robot's constraint cost: c(tau) of each episode, and the total over a window and over the run."""

from __future__ import annotations

from dataclasses import dataclass

from offline_to_online.online.evidence import Evidence, Verdict
from offline_to_online.online.gates._budget import demand_limit, demand_window, nearest, over, spent

RULE = "constraint_cost"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Cost, in the robot's unit.

    Attributes:
        per_episode: of any rollout of the window, at most.
        total: of all rollouts of the window together.
        window: the last so many rollouts; 0: the whole run.
        run_total: of all rollouts of the run; left out, the run has no such budget.
    """

    per_episode: float
    total: float
    window: int = 0
    run_total: float | None = None

    def __post_init__(self) -> None:
        demand_limit(self.per_episode, where=f"{RULE}.per_episode")
        demand_limit(self.total, where=f"{RULE}.total")
        demand_window(self.window, where=f"{RULE}.window")
        demand_limit(self.run_total, where=f"{RULE}.run_total", optional=True)


def check(evidence: Evidence, config: Config) -> Verdict:
    """Whether all budgets hold; the verdict names the one that is broken, or else the one nearest to its limit."""
    seen, when = evidence.totals(config.window), over(config.window)
    said = [
        spent(RULE, seen.worst_cost, config.per_episode, unit="cost", what=f"worst episode's cost {when}:"),
        spent(RULE, seen.cost, config.total, unit="cost", what=f"total cost {when}:"),
    ]
    if config.run_total is not None:
        said.append(spent(RULE, evidence.totals().cost, config.run_total, unit="cost", what=f"total cost {over(0)}:"))
    return nearest(said)
