"""Budget on support drift: the share of steps that an episode spends beyond the step threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

from offline_to_online.errors import ParameterError
from offline_to_online.online.evidence import Evidence, Verdict
from offline_to_online.online.gates._budget import demand_limit, demand_window, over, spent

RULE = "support_drift"
STATISTICS = ("worst", "mean")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Drift of at most ``limit`` (share of steps, 0 to 1) over the last ``window`` rollouts (0: all of the run).

    ``statistic`` is ``worst`` (no single rollout above the limit) or ``mean``. The mean is a budget: ``window``
    rollouts may spend ``window * limit``, and a window that is not yet full has not spent what is missing. The
    worst of 150 sound episodes lies above a useful limit almost surely, the mean of a window does not.
    """

    limit: float
    window: int = 0
    statistic: str = "mean"

    def __post_init__(self) -> None:
        demand_limit(self.limit, where=f"{RULE}.limit")
        demand_window(self.window, where=f"{RULE}.window")
        if self.statistic not in STATISTICS:
            raise ParameterError(
                f"statistic {self.statistic!r}",
                where=f"{RULE}.statistic",
                limit=" or ".join(STATISTICS),
                remedy="mend params.yaml",
            )


def check(evidence: Evidence, config: Config) -> Verdict:
    """Whether the drift of the window lies within its budget."""
    drifts = [rollout.support_drift for rollout in evidence.last(config.window)]
    if config.statistic == "worst":
        measured = max(drifts, default=0.0)
    else:
        measured = math.fsum(drifts) / max(len(drifts), config.window, 1)
    what = f"{config.statistic} support drift {over(config.window)}:"
    return spent(RULE, measured, config.limit, unit="share of steps", what=what)
