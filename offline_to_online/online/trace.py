"""The worked trace of the gate: three rollouts, at most 3 interventions, support drift of at most 0.20."""

from __future__ import annotations

from offline_to_online.online.evidence import Evidence, RolloutEvidence
from offline_to_online.online.gating import judge, rules


def worked_rollouts(*, interventions: int = 2, drift: float = 0.18) -> tuple[RolloutEvidence, ...]:
    """The three rollouts; ``interventions`` and ``drift`` are those of the first."""
    return (
        RolloutEvidence(success=False, interventions=interventions, support_drift=drift),
        RolloutEvidence(success=True, interventions=1, support_drift=0.12),
        RolloutEvidence(success=True, interventions=0, support_drift=0.09),
    )


def trace(rollouts: tuple[RolloutEvidence, ...], *, max_interventions: int = 3, max_drift: float = 0.20) -> list[str]:
    """The lines of the trace, judged by the rules that an online run uses."""
    gate = rules(
        {"interventions": {"limit": max_interventions}, "support_drift": {"limit": max_drift, "statistic": "worst"}}
    )
    verdicts = judge(gate, Evidence(rollouts=rollouts))
    successes, certified = sum(r.success for r in rollouts), sum(r.certified for r in rollouts)
    interventions, drift = (verdict.measured for verdict in verdicts)
    return [
        f"successes={successes}/{len(rollouts)}",
        f"interventions={interventions:g} worst_support_drift={drift:.2f}",
        f"continue_online_updates={all(verdict.passed for verdict in verdicts)}",
        f"certified_successes={certified}/{len(rollouts)}",
    ]
