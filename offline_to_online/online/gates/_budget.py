"""What the budget rules share: a measured number against a limit."""

from __future__ import annotations

import math

from offline_to_online.errors import ParameterError
from offline_to_online.online.evidence import Verdict

# A mean of decimal numbers misses its limit by rounding, not by driving worse.
ROUNDING = 1e-9


def spent(rule: str, measured: float, limit: float, *, unit: str, what: str) -> Verdict:
    """The verdict that ``measured`` is within ``limit``; a number that is no number is not."""
    passed = measured <= limit + ROUNDING
    reason = f"{what} {measured:g}, {'within' if passed else 'above'} the limit of {limit:g} {unit}"
    return Verdict(rule=rule, passed=passed, measured=float(measured), limit=float(limit), unit=unit, reason=reason)


def demand_limit(value: float, *, where: str) -> None:
    """A limit is a finite number, at least 0."""
    if not math.isfinite(value) or value < 0:
        raise ParameterError(
            f"limit {value!r}", where=where, limit="a finite number, at least 0", remedy="mend params.yaml"
        )


def demand_window(value: int, *, where: str) -> None:
    """A window is a whole number of rollouts; 0 means all of them."""
    if value < 0 or value != int(value):
        raise ParameterError(
            f"window {value!r}", where=where, limit="a whole number; 0 means all rollouts", remedy="mend params.yaml"
        )


def over(window: int) -> str:
    """How a reason names its window."""
    return f"over the last {window} rollouts" if window else "over all rollouts"
