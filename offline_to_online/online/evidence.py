"""What a gate looks at, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import RunError

NUMBERS = ("support_drift", "support_drift_k", "cost", "score")


@dataclass(frozen=True, kw_only=True)
class RolloutEvidence:
    """One executed episode, as a gate sees it.

    Attributes:
        success: the robot's own success rule held.
        interventions: steps in which the guard or a person acted instead of the policy, and an emergency stop as one
            more: what the guard did alone is what ``takeovers`` and ``emergency_stop`` leave of it.
        support_drift: share of steps whose proposed action lay beyond the step threshold, in [0, 1], measured against
            D_0, the data as they were handed off.
        support_drift_k: the same share against D_k, which holds every episode that the run collected before this one
            too (see ``drift``); None where it is not measured: certification, and runs of earlier versions.
        takeovers: steps in which a person acted.
        emergency_stop: the episode ended in an emergency stop.
        cost: the constraint cost c(tau), the robot's unit.
        score: how far it got, in [0, 1].
    """

    success: bool
    interventions: int
    support_drift: float
    cost: float = 0.0
    score: float = 0.0
    support_drift_k: float | None = None
    takeovers: int = 0
    emergency_stop: bool = False

    def __post_init__(self) -> None:
        for name in NUMBERS:
            value = getattr(self, name)
            if value is not None and (not math.isfinite(value) or value < 0):
                raise RunError(
                    f"{name} is {value!r}", where="evidence of a rollout", limit="a finite number, at least 0"
                )
        if self.takeovers < 0 or self.interventions < self.takeovers + self.emergency_stop:
            raise RunError(
                f"{self.interventions} interventions, {self.takeovers} takeovers, emergency stop {self.emergency_stop}",
                where="evidence of a rollout",
                limit="at least 0, and every takeover and emergency stop among the interventions",
            )

    @property
    def certified(self) -> bool:
        """A success that needed nobody: an intervened success is no certificate."""
        return self.success and self.interventions == 0

    @property
    def certified_score(self) -> float:
        """The score, or 0 where the guard or a person acted."""
        return self.score if self.interventions == 0 else 0.0

    def outcome(self, name: str) -> float:
        """What it counts for in a comparison, in [0, 1]: its certified ``score`` or its certified ``success``."""
        return self.certified_score if name == "score" else float(self.certified)

    def to_json(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> RolloutEvidence:
        """The inverse of ``to_json``."""
        drift_k = row.get("support_drift_k")
        return cls(
            success=bool(row["success"]),
            interventions=int(row["interventions"]),
            support_drift=float(row["support_drift"]),
            cost=float(row["cost"]),
            score=float(row["score"]),
            support_drift_k=None if drift_k is None else float(drift_k),
            takeovers=int(row.get("takeovers", 0)),
            emergency_stop=bool(row.get("emergency_stop", False)),
        )


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums and worst cases over episodes. One more costs the same after a thousand as after ten.

    Sums are taken in the episodes' order, so that adding them one by one and all at once gives the same bytes.

    Attributes:
        episodes: how many.
        interventions, takeovers, emergency_stops: sums; takeovers and emergency stops are among the interventions.
        cost, worst_cost: the robot's unit.
        drift, worst_drift: share of steps, summed over episodes, against D_0.
        drift_k, worst_drift_k: against D_k, over the ``measured_k`` episodes in which that was measured.
    """

    episodes: int = 0
    interventions: int = 0
    takeovers: int = 0
    emergency_stops: int = 0
    cost: float = 0.0
    worst_cost: float = 0.0
    drift: float = 0.0
    worst_drift: float = 0.0
    drift_k: float = 0.0
    worst_drift_k: float = 0.0
    measured_k: int = 0

    @classmethod
    def of(cls, rollouts: Iterable[RolloutEvidence]) -> Totals:
        """Those of some episodes, in their order."""
        totals = cls()
        for rollout in rollouts:
            totals = totals.plus(rollout)
        return totals

    def plus(self, rollout: RolloutEvidence) -> Totals:
        """With one more episode."""
        drift_k = rollout.support_drift_k
        return Totals(
            episodes=self.episodes + 1,
            interventions=self.interventions + rollout.interventions,
            takeovers=self.takeovers + rollout.takeovers,
            emergency_stops=self.emergency_stops + rollout.emergency_stop,
            cost=self.cost + rollout.cost,
            worst_cost=max(self.worst_cost, rollout.cost),
            drift=self.drift + rollout.support_drift,
            worst_drift=max(self.worst_drift, rollout.support_drift),
            drift_k=self.drift_k + (drift_k or 0.0),
            worst_drift_k=max(self.worst_drift_k, drift_k or 0.0),
            measured_k=self.measured_k + (drift_k is not None),
        )

    def to_json(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Totals:
        """The inverse of ``to_json``."""
        return cls(**row)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that the rules of one gate may look at.

    Attributes:
        rollouts: executed episodes of whoever is being judged, oldest first.
        champion, baseline: episodes of the other side of each pair; ``rollouts[i]``, ``champion[i]`` and
            ``baseline[i]`` are the same task with the same seed. Empty for a safety gate.
        run: running sums over the whole run, where ``rollouts`` holds its last episodes alone; None: they are all.
        candidate_number: 1 for the first candidate of the run.
        alpha_share: the share of an acceptance rule's ``alpha`` that this candidate may use, in (0, 1]. It is known
            before the candidate is played: the error level is spent over all candidates of the run.
    """

    rollouts: tuple[RolloutEvidence, ...]
    champion: tuple[RolloutEvidence, ...] = ()
    baseline: tuple[RolloutEvidence, ...] = ()
    candidate_number: int = 1
    alpha_share: float = 1.0
    run: Totals | None = None

    def last(self, window: int) -> tuple[RolloutEvidence, ...]:
        """The last ``window`` rollouts, or all that are at hand where it is 0; budgets ask ``totals`` for those."""
        return self.rollouts[-window:] if window else self.rollouts

    def totals(self, window: int = 0) -> Totals:
        """Sums over the last ``window`` rollouts, or over the whole run where it is 0."""
        if not window and self.run is not None:
            return self.run
        return Totals.of(self.last(window))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A rule's answer: a value, not an exception. ``measured`` and ``limit`` are in ``unit``."""

    rule: str
    passed: bool
    measured: float
    limit: float
    unit: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Verdict:
        """The inverse of ``to_json``."""
        return cls(
            rule=str(row["rule"]),
            passed=bool(row["passed"]),
            measured=float(row["measured"]),
            limit=float(row["limit"]),
            unit=str(row["unit"]),
            reason=str(row["reason"]),
        )


def paired_differences(rollouts: Sequence[RolloutEvidence], others: Sequence[RolloutEvidence], outcome: str) -> Array:
    """The first's outcomes minus the others' on the same tasks, float64 (N,), in [-1, 1]."""
    pairs = zip(rollouts, others, strict=True)
    return np.array([a.outcome(outcome) - b.outcome(outcome) for a, b in pairs], dtype=np.float64)
