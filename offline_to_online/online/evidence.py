"""What a gate looks at, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from offline_to_online.errors import RunError

NUMBERS = ("support_drift", "support_drift_k", "cost", "score")


@dataclass(frozen=True, kw_only=True)
class RolloutEvidence:
    """One executed episode, as a gate sees it.

    Attributes:
        success: the robot's own success rule held.
        interventions: steps in which the guard or a person acted instead of the policy.
        support_drift: share of steps whose proposed action lay beyond the step threshold, in [0, 1], measured against
            D_0, the data as they were handed off.
        support_drift_k: the same share against D_k, which holds every episode that the run collected before this one
            too (see ``drift``); None where it is not measured: certification, and runs of earlier versions.
        cost: the constraint cost c(tau), the robot's unit.
        score: how far it got, in [0, 1].
    """

    success: bool
    interventions: int
    support_drift: float
    cost: float = 0.0
    score: float = 0.0
    support_drift_k: float | None = None

    def __post_init__(self) -> None:
        for name in NUMBERS:
            value = getattr(self, name)
            if value is not None and (not math.isfinite(value) or value < 0):
                raise RunError(
                    f"{name} is {value!r}", where="evidence of a rollout", limit="a finite number, at least 0"
                )
        if self.interventions < 0:
            raise RunError(f"{self.interventions} interventions", where="evidence of a rollout", limit="at least 0")

    @property
    def certified(self) -> bool:
        """A success that needed nobody: an intervened success is no certificate."""
        return self.success and self.interventions == 0

    @property
    def certified_score(self) -> float:
        """The score, or 0 where the guard or a person acted."""
        return self.score if self.interventions == 0 else 0.0

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
        )


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that the rules of one gate may look at.

    Attributes:
        rollouts: executed episodes of whoever is being judged, oldest first.
        champion, baseline: episodes of the other side of each pair; ``rollouts[i]``, ``champion[i]`` and
            ``baseline[i]`` are the same task with the same seed. Empty for a safety gate.
        candidate_number: 1 for the first candidate of the run; the error level is spent over all of them.
    """

    rollouts: tuple[RolloutEvidence, ...]
    champion: tuple[RolloutEvidence, ...] = ()
    baseline: tuple[RolloutEvidence, ...] = ()
    candidate_number: int = 1

    def last(self, window: int) -> tuple[RolloutEvidence, ...]:
        """The last ``window`` rollouts, or all of them where it is 0."""
        return self.rollouts[-window:] if window else self.rollouts


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
