"""Budget on support drift from D_k: everything that the run had collected before each episode counts as data.

It sees a jump away from what was tried before, and is blind to a slow walk away from D_0; ``support_drift`` is the
other way round. It is measured while the champion collects, and not in certification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from offline_to_online.errors import ParameterError
from offline_to_online.online.evidence import Evidence, Verdict
from offline_to_online.online.gates._drift import DriftConfig, against_d_k, within

RULE = "support_drift_k"


@dataclass(frozen=True, kw_only=True)
class Config(DriftConfig):
    """Limits of drift from D_k; see ``DriftConfig``."""

    RULE: ClassVar[str] = RULE


def check(evidence: Evidence, config: Config) -> Verdict:
    """Whether the drift from D_k lies within its budgets.

    Raises:
        ParameterError: it was not measured, as in certification.
    """
    seen = evidence.totals(config.window)
    if seen.measured_k < seen.episodes:
        raise ParameterError(
            f"drift from D_k was measured in {seen.measured_k} of {seen.episodes} episodes",
            where=RULE,
            limit="it is measured while the champion collects",
            remedy="name this rule under online.gates.safety, and only there",
        )
    return within(config, evidence, against_d_k, data="D_k")
