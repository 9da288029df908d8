"""What the two budgets on support drift share: the mean and the worst of a window, and of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from offline_to_online.errors import ParameterError
from offline_to_online.online.evidence import Evidence, Totals, Verdict
from offline_to_online.online.gates._budget import demand_limit, demand_window, nearest, over, spent

STATISTICS = ("worst", "mean")


@dataclass(frozen=True, kw_only=True)
class DriftConfig:
    """Limits on the share of steps, 0 to 1, that an episode spends beyond the step threshold.

    The mean is a budget: ``window`` rollouts may spend ``window * limit``, and a window that is not yet full has not
    spent what is missing. The worst of 150 sound episodes lies above a useful limit almost surely, the mean of a
    window does not.

    Attributes:
        limit: of the ``statistic`` over the last ``window`` rollouts.
        window: so many rollouts; 0: the whole run.
        statistic: ``worst`` (no single rollout above the limit) or ``mean``.
        worst: of any single rollout of the window, beside the mean; left out, there is no such budget.
        burst: of the mean over the last ``burst_window`` rollouts, a short window beside the long one: what is far off
            is stopped after so many, however much the long window lets pass.
        burst_window: so many rollouts, at least 1 and no more than ``window``.
        run_limit: of the mean over the whole run, which begins to count as a window does.
        run_worst: of any single rollout of the whole run, those included that a person let pass.
    """

    RULE: ClassVar[str] = ""

    limit: float
    window: int = 0
    statistic: str = "mean"
    worst: float | None = None
    burst: float | None = None
    burst_window: int = 2
    run_limit: float | None = None
    run_worst: float | None = None

    def __post_init__(self) -> None:
        demand_limit(self.limit, where=f"{self.RULE}.limit")
        demand_window(self.window, where=f"{self.RULE}.window")
        for name in ("worst", "burst", "run_limit", "run_worst"):
            demand_limit(getattr(self, name), where=f"{self.RULE}.{name}", optional=True)
        demand_window(self.burst_window, where=f"{self.RULE}.burst_window")
        if self.burst is not None and not 1 <= self.burst_window <= (self.window or self.burst_window):
            raise ParameterError(
                f"burst_window {self.burst_window!r}",
                where=f"{self.RULE}.burst_window",
                limit=f"from 1 to the window of {self.window} rollouts" if self.window else "at least 1",
                remedy="mend params.yaml",
            )
        if self.statistic not in STATISTICS:
            raise ParameterError(
                f"statistic {self.statistic!r}",
                where=f"{self.RULE}.statistic",
                limit=" or ".join(STATISTICS),
                remedy="mend params.yaml",
            )


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Drift of some rollouts against one of D_0 and D_k: summed over ``episodes``, and the worst."""

    episodes: int
    total: float
    worst: float

    def mean(self, window: int) -> float:
        """The share of a budget's steps that was spent; a window that is not full has not spent what is missing."""
        return self.total / max(self.episodes, window, 1)


def against_d_0(totals: Totals) -> Seen:
    """Drift from the data as they were handed off."""
    return Seen(episodes=totals.episodes, total=totals.drift, worst=totals.worst_drift)


def against_d_k(totals: Totals) -> Seen:
    """Drift from everything that was collected before each episode too, over the episodes that measured it."""
    return Seen(episodes=totals.measured_k, total=totals.drift_k, worst=totals.worst_drift_k)


def within(config: DriftConfig, evidence: Evidence, against: Callable[[Totals], Seen], *, data: str) -> Verdict:
    """Whether all budgets hold; the verdict names the one that is broken, or else the one nearest to its limit."""
    size, lasts = config.window, over(config.window)
    window, short, run = (against(evidence.totals(count)) for count in (size, config.burst_window, 0))
    first = window.worst if config.statistic == "worst" else window.mean(size)
    asked = [
        (first, config.limit, config.statistic, lasts),
        (window.worst, config.worst, "worst", lasts),
        (short.mean(config.burst_window), config.burst, "mean", over(config.burst_window)),
        (run.mean(size), config.run_limit, "mean", over(0)),
        (run.worst, config.run_worst, "worst", over(0)),
    ]
    return nearest(
        [
            spent(
                config.RULE, measured, limit, unit="share of steps", what=f"{which} support drift from {data} {when}:"
            )
            for measured, limit, which, when in asked
            if limit is not None
        ]
    )
