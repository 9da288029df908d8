"""Budget on support drift: the share of steps that an episode spends beyond the step threshold of D_0.

D_0 is the data as they were handed off; it never moves. See ``support_drift_k`` for the data as they grow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from offline_to_online.online.evidence import Evidence, Verdict
from offline_to_online.online.gates._drift import DriftConfig, against_d_0, within

RULE = "support_drift"


@dataclass(frozen=True, kw_only=True)
class Config(DriftConfig):
    """Limits of drift from D_0; see ``DriftConfig``."""

    RULE: ClassVar[str] = RULE


def check(evidence: Evidence, config: Config) -> Verdict:
    """Whether the drift from D_0 lies within its budgets."""
    return within(config, evidence, against_d_0, data="D_0")
