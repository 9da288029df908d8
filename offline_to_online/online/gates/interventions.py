"""Budget on interventions: guard stops, human takeovers and emergency stops, over a window and over the run."""

from __future__ import annotations

from dataclasses import dataclass

from offline_to_online.online.evidence import Evidence, Totals, Verdict
from offline_to_online.online.gates._budget import demand_limit, demand_window, nearest, over, spent

RULE = "interventions"


@dataclass(frozen=True, kw_only=True)
class Config:
    """At most ``limit`` interventions over the last ``window`` rollouts (0: the run), and ``run_limit`` over the run.

    An intervention is a step in which the guard or a person acted, or an emergency stop. Without ``run_limit`` the
    run has none.
    """

    limit: float
    window: int = 0
    run_limit: float | None = None

    def __post_init__(self) -> None:
        demand_limit(self.limit, where=f"{RULE}.limit")
        demand_window(self.window, where=f"{RULE}.window")
        demand_limit(self.run_limit, where=f"{RULE}.run_limit", optional=True)


def check(evidence: Evidence, config: Config) -> Verdict:
    """Whether both budgets hold; the verdict names the one that is broken, or else the one nearer to its limit."""
    said = [_within(evidence.totals(config.window), config.limit, config.window)]
    if config.run_limit is not None:
        said.append(_within(evidence.totals(), config.run_limit, 0))
    return nearest(said)


def _within(totals: Totals, limit: float, window: int) -> Verdict:
    people = totals.takeovers + totals.emergency_stops
    whose = f" ({totals.takeovers} by takeover, {totals.emergency_stops} emergency stops)" if people else ""
    what = f"interventions {over(window)}{whose}:"
    return spent(RULE, totals.interventions, limit, unit="interventions", what=what)
