"""Is the candidate no worse than the champion, and no worse than the handed-off baseline?

Paired on the same tasks with the same seeds, looked at after every batch (a test by betting, valid whenever one
looks; see ``evaluation.statistics.PairedEvidence``). The k-th candidate of a run may spend 6 alpha / (pi^2 k^2), so
that the chance that a run ever accepts a candidate that is worse by the margin is at most alpha. An intervened success
counts as a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError
from offline_to_online.evaluation.statistics import PairedEvidence, alpha_spent
from offline_to_online.online.evidence import Evidence, RolloutEvidence, Verdict

RULE = "no_regression"
OUTCOMES = ("success", "score")
# Wealth is unbounded; beyond this it is only a number too long to read.
MOST_WEALTH = 1e12


@dataclass(frozen=True, kw_only=True)
class Config:
    """A loss of ``margin`` (of success rate or score) is tolerated with a chance of error ``alpha`` over the whole run.

    ``outcome`` is ``success`` or ``score`` (for tasks that are hardly ever finished), ``max_pairs`` the tasks after
    which an undecided candidate is rejected, ``batch`` the tasks between two looks.
    """

    margin: float = 0.05
    alpha: float = 0.05
    max_pairs: int = 400
    batch: int = 50
    outcome: str = "success"

    def __post_init__(self) -> None:
        fits = 0 <= self.margin < 1 and 0 < self.alpha < 1 and 1 <= self.batch <= self.max_pairs
        if not fits or self.outcome not in OUTCOMES:
            raise ParameterError(
                f"margin {self.margin!r}, alpha {self.alpha!r}, batch {self.batch!r}, max_pairs {self.max_pairs!r}, "
                f"outcome {self.outcome!r}",
                where=RULE,
                limit="margin in [0, 1), alpha in (0, 1), 1 <= batch <= max_pairs, outcome success or score",
                remedy="mend params.yaml",
            )


def check(evidence: Evidence, config: Config) -> Verdict:
    """Whether both sides' evidence reached 1/alpha_k; ``measured`` is the wealth of the side that is less sure."""
    test = _test(evidence, config)
    sides = {
        "champion": _differences(evidence, "champion", config),
        "baseline": _differences(evidence, "baseline", config),
    }
    wealth = {name: _most_wealth(test, d) for name, d in sides.items()}
    passed = all(len(d) > 0 and bool(test.accepts(d)) for d in sides.values())
    means = ", ".join(f"{d.mean():+.3f} to the {name}" for name, d in sides.items() if len(d))
    reason = (
        f"difference {means or 'unknown'} on {len(evidence.rollouts)} paired tasks; "
        f"{'' if passed else 'not '}shown to lose less than {config.margin:g} (candidate {evidence.candidate_number})"
    )
    return Verdict(
        rule=RULE,
        passed=passed,
        measured=min(wealth.values()),
        limit=test.threshold,
        unit="wealth of the bet against a regression (at least)",
        reason=reason,
    )


def wants_pairs(evidence: Evidence, config: Config) -> int:
    """Tasks of the next batch: none once both sides are shown, one is hopeless, or ``max_pairs`` are played."""
    test, remaining = _test(evidence, config), config.max_pairs - len(evidence.rollouts)
    sides = [_differences(evidence, name, config) for name in ("champion", "baseline")]
    if remaining <= 0 or any(test.is_futile(d, remaining) for d in sides):
        return 0
    if all(len(d) > 0 and test.accepts(d) for d in sides):
        return 0
    return min(config.batch, remaining)


def _test(evidence: Evidence, config: Config) -> PairedEvidence:
    return PairedEvidence(margin=config.margin, alpha=alpha_spent(evidence.candidate_number, config.alpha))


def _differences(evidence: Evidence, side: str, config: Config) -> Array:
    others: Sequence[RolloutEvidence] = getattr(evidence, side)
    if len(others) != len(evidence.rollouts):
        raise ParameterError(
            f"{len(evidence.rollouts)} candidate rollouts against {len(others)} of the {side}",
            where=RULE,
            limit="the same tasks on both sides",
            remedy="use this rule for acceptance, not for safety",
        )
    return _outcomes(evidence.rollouts, config) - _outcomes(others, config)


def _outcomes(rollouts: Sequence[RolloutEvidence], config: Config) -> Array:
    values = [r.certified_score if config.outcome == "score" else float(r.certified) for r in rollouts]
    return np.array(values, dtype=np.float64)


def _most_wealth(test: PairedEvidence, differences: Array) -> float:
    return min(MOST_WEALTH, float(test.wealth(differences).max(initial=1.0)))
