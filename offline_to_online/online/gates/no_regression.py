"""Is the candidate no worse than the champion, and no worse than the handed-off baseline?

Paired on the same tasks with the same seeds, looked at after every batch (a test by betting, valid whenever one
looks; see ``evaluation.statistics.PairedEvidence``). Each candidate of a run may use a share of ``alpha`` that is
known before it is played, such that the chance that a run ever accepts a candidate that is worse by the margin is at
most alpha (``docs/gate.md``). An intervened success counts as a failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError
from offline_to_online.evaluation.statistics import PairedEvidence, bound_in_words, least_certain
from offline_to_online.online.evidence import Evidence, RolloutEvidence, Verdict, paired_differences

RULE = "no_regression"
OUTCOMES = ("success", "score")
SIDES = ("champion", "baseline")
# Wealth is unbounded; beyond this it is only a number too long to read.
MOST_WEALTH = 1e12
LIMIT = "margin in [0, 1), improvement null or in [0, 1), alpha in (0, 1), 1 <= batch <= max_pairs, "


@dataclass(frozen=True, kw_only=True)
class Config:
    """A loss of ``margin`` (of success rate or score) is tolerated with a chance of error ``alpha`` over the whole run.

    ``improvement`` given, the candidate must be better than the champion by more than that (0: better at all), and lose
    less than ``margin`` to the baseline. ``outcome`` is ``success`` or ``score`` (for tasks that are hardly ever
    finished), ``max_pairs`` the tasks after which an undecided candidate is rejected, ``batch`` the tasks between two
    looks.
    """

    margin: float = 0.05
    improvement: float | None = None
    alpha: float = 0.05
    max_pairs: int = 400
    batch: int = 25
    outcome: str = "success"

    def __post_init__(self) -> None:
        fits = 0 <= self.margin < 1 and 0 < self.alpha < 1 and 1 <= self.batch <= self.max_pairs
        better = self.improvement is None or 0 <= self.improvement < 1
        if not fits or not better or self.outcome not in OUTCOMES:
            given = {name: getattr(self, name) for name in self.__dataclass_fields__}
            loss = not better and self.improvement is not None and -1 < self.improvement < 0
            raise ParameterError(
                ", ".join(f"{name} {value!r}" for name, value in given.items()),
                where=RULE,
                limit=LIMIT + "outcome success or score",
                remedy="a loss that is tolerated is a margin; leave improvement out" if loss else "mend params.yaml",
            )

    def tests(self, alpha_share: float) -> dict[str, PairedEvidence]:
        """What must be shown against each side, by a candidate that may use so much of ``alpha``."""
        level = self.alpha * alpha_share
        gain = self.margin if self.improvement is None else -self.improvement
        return {
            "champion": PairedEvidence(margin=gain, alpha=level),
            "baseline": PairedEvidence(margin=self.margin, alpha=level),
        }


Differences = Mapping[str, Array]
"""By side, the candidate's outcomes minus that side's, shape (..., N): one sequence of pairs, or many."""


def shown(tests: Mapping[str, PairedEvidence], differences: Differences) -> Array:
    """Whether every side is shown at any pair so far: bool (...)."""
    found = [tests[side].accepts(values) for side, values in differences.items()]
    return np.asarray(np.logical_and.reduce(found))


def hopeless(tests: Mapping[str, PairedEvidence], differences: Differences, remaining: int) -> Array:
    """Whether any side will not be shown by the pairs that remain, even in luck: bool (...)."""
    found = [tests[side].is_futile(values, remaining) for side, values in differences.items()]
    return np.asarray(np.logical_or.reduce(found))


def check(evidence: Evidence, config: Config) -> Verdict:
    """Whether both sides' evidence reached 1 / level; ``measured`` is the wealth of the side that is less sure."""
    tests, sides = config.tests(evidence.alpha_share), differences_of(evidence, config)
    passed = bool(shown(tests, sides))
    means = ", ".join(f"{sides[side].mean():+.3f} to the {side}" for side in SIDES if len(sides[side]))
    reason = (
        f"difference {means or 'unknown'} on {len(evidence.rollouts)} paired tasks; {'' if passed else 'not '}shown "
        f"to {_wanted(config)} (candidate {evidence.candidate_number}); {_words(evidence, config)}"
    )
    return Verdict(
        rule=RULE,
        passed=passed,
        measured=min(_most_wealth(tests[side], sides[side]) for side in SIDES),
        limit=tests["champion"].threshold,
        unit="wealth of the bet against a regression (at least)",
        reason=reason,
    )


def wants_pairs(evidence: Evidence, config: Config) -> int:
    """Tasks of the next batch: none once both sides are shown, one is hopeless, or ``max_pairs`` are played."""
    tests, sides = config.tests(evidence.alpha_share), differences_of(evidence, config)
    remaining = config.max_pairs - len(evidence.rollouts)
    if remaining <= 0 or bool(shown(tests, sides)) or bool(hopeless(tests, sides, remaining)):
        return 0
    return min(config.batch, remaining)


def certain(evidence: Evidence, config: Config) -> dict[str, float]:
    """By side, what is certain of the difference at the candidate's level: at least so much, in [-1, 1]."""
    level = config.alpha * evidence.alpha_share
    return {side: least_certain(d, level) for side, d in differences_of(evidence, config).items()}


def differences_of(evidence: Evidence, config: Config) -> dict[str, Array]:
    """By side, the candidate's outcomes minus that side's, shape (N,).

    Raises:
        ParameterError: a side that did not play the same tasks.
    """
    return {side: _differences(evidence, side, config) for side in SIDES}


def _differences(evidence: Evidence, side: str, config: Config) -> Array:
    others: Sequence[RolloutEvidence] = getattr(evidence, side)
    if len(others) != len(evidence.rollouts):
        raise ParameterError(
            f"{len(evidence.rollouts)} candidate rollouts against {len(others)} of the {side}",
            where=RULE,
            limit="the same tasks on both sides",
            remedy="use this rule for acceptance, not for safety",
        )
    return paired_differences(evidence.rollouts, others, config.outcome)


def _most_wealth(test: PairedEvidence, differences: Array) -> float:
    return min(MOST_WEALTH, float(test.wealth(differences).max(initial=1.0)))


def _wanted(config: Config) -> str:
    if config.improvement is None:
        return f"lose less than {config.margin:g}"
    return f"gain more than {config.improvement:g} on the champion and lose less than {config.margin:g} to the baseline"


def _words(evidence: Evidence, config: Config) -> str:
    level, pairs = config.alpha * evidence.alpha_share, len(evidence.rollouts)
    bounds = certain(evidence, config)
    return "; ".join(bound_in_words(pairs, level, bounds[side], who="candidate", side=side) for side in SIDES)
