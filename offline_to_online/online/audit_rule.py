"""What the audit block says of a champion, once, at the end of a run: does it lose to the handed-off baseline?

Every acceptance had the baseline beside it, but each on tasks of its own and with a chance of error; a champion that
came to be over many of them is looked at once more, on tasks that nothing was ever chosen by. The bet goes the other
way here: the champion stays unless it is *shown* to lose more than the margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError
from offline_to_online.evaluation.panel import AUDIT_SIZE
from offline_to_online.evaluation.statistics import PairedEvidence, bound_in_words, least_certain
from offline_to_online.online.evidence import RolloutEvidence, Verdict, paired_differences

RULE = "audit_block"
# Wealth is unbounded; beyond this it is only a number too long to read.
MOST_WEALTH = 1e12


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """The audit of the champion against the baseline, with an error level of its own.

    Attributes:
        pairs: tasks of the audit block that may be played; 0: no audit.
        margin: a loss (of success rate or score) beyond which, if it is shown, the run goes back to the baseline.
        alpha: the chance of going back although the loss is smaller; and of a bound that does not hold.
        batch: tasks between two looks.
    """

    pairs: int = AUDIT_SIZE
    margin: float = 0.05
    alpha: float = 0.05
    batch: int = 50

    def __post_init__(self) -> None:
        fits = 0 <= self.pairs <= AUDIT_SIZE and 0 <= self.margin < 1 and 0 < self.alpha < 1 and self.batch >= 1
        if not fits:
            raise ParameterError(
                f"pairs {self.pairs!r}, margin {self.margin!r}, alpha {self.alpha!r}, batch {self.batch!r}",
                where="online.gates.audit",
                limit=f"pairs from 0 (off) to {AUDIT_SIZE}, margin in [0, 1), alpha in (0, 1), batch at least 1",
                remedy="mend params.yaml",
            )


def is_decided(
    champion: Sequence[RolloutEvidence], baseline: Sequence[RolloutEvidence], *, config: AuditConfig, outcome: str
) -> bool:
    """Whether no further pair is needed: the champion is shown to lose more than the margin, or to lose less."""
    differences = paired_differences(champion, baseline, outcome)
    return bool(_worse(config).accepts(-differences) or _held(config).accepts(differences))


def verdict(
    champion: Sequence[RolloutEvidence], baseline: Sequence[RolloutEvidence], *, config: AuditConfig, outcome: str
) -> Verdict:
    """Whether the champion stays; ``measured`` is the wealth of the bet that it loses more than the margin."""
    differences = paired_differences(champion, baseline, outcome)
    wealth = min(MOST_WEALTH, float(_worse(config).wealth(-differences).max(initial=1.0)))
    worse = bool(_worse(config).accepts(-differences))
    mean = f"{differences.mean():+.3f}" if len(differences) else "unknown"
    words = bound_in_words(
        len(differences), config.alpha, certain(differences, config), who="champion", side="baseline"
    )
    return Verdict(
        rule=RULE,
        passed=not worse,
        measured=wealth,
        limit=_worse(config).threshold,
        unit="wealth of the bet that the champion is worse (below)",
        reason=(
            f"difference {mean} to the baseline on {len(differences)} tasks of the audit block; "
            f"{'' if worse else 'not '}shown to lose more than {config.margin:g}; {words}"
        ),
    )


def certain(differences: Array, config: AuditConfig) -> float:
    """What is certain of the champion's difference to the baseline: at least so much, in [-1, 1]."""
    return least_certain(differences, config.alpha)


def _worse(config: AuditConfig) -> PairedEvidence:
    """Of baseline minus champion: that it is above the margin."""
    return PairedEvidence(margin=-config.margin, alpha=config.alpha)


def _held(config: AuditConfig) -> PairedEvidence:
    """Of champion minus baseline: that it is above minus the margin."""
    return PairedEvidence(margin=config.margin, alpha=config.alpha)
