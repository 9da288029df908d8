"""What the budget rules share: a measured number against a limit, and the one of several that matters most."""

from __future__ import annotations

import math
from collections.abc import Sequence

from offline_to_online.errors import ParameterError
from offline_to_online.online.evidence import Verdict

# A mean of decimal numbers misses its limit by rounding, not by driving worse.
ROUNDING = 1e-9


def spent(rule: str, measured: float, limit: float, *, unit: str, what: str) -> Verdict:
    """The verdict that ``measured`` is within ``limit``; a number that is no number is not."""
    passed = measured <= limit + ROUNDING
    reason = f"{what} {measured:g}, {'within' if passed else 'above'} the limit of {limit:g} {unit}"
    return Verdict(rule=rule, passed=passed, measured=float(measured), limit=float(limit), unit=unit, reason=reason)


def nearest(verdicts: Sequence[Verdict]) -> Verdict:
    """Of several budgets of one rule the one that is broken by most, or else the one nearest to its limit."""
    return max(verdicts, key=lambda verdict: (not verdict.passed, _share(verdict)))


def _share(verdict: Verdict) -> float:
    if verdict.limit:
        return verdict.measured / verdict.limit
    return math.inf if verdict.measured else 0.0


def demand_limit(value: float | None, *, where: str, optional: bool = False) -> None:
    """A limit is a finite number, at least 0; an optional one may be left out.

    Raises:
        ParameterError: it is none.
    """
    if value is None and optional:
        return
    if value is None or not math.isfinite(value) or value < 0:
        limit = "a finite number, at least 0" + (", or left out" if optional else "")
        raise ParameterError(f"limit {value!r}", where=where, limit=limit, remedy="mend params.yaml")


def demand_window(value: int, *, where: str) -> None:
    """A window is a whole number of rollouts; 0 means all of them.

    Raises:
        ParameterError: it is none.
    """
    if value < 0 or value != int(value):
        raise ParameterError(
            f"window {value!r}", where=where, limit="a whole number; 0 means all rollouts", remedy="mend params.yaml"
        )


def over(window: int) -> str:
    """How a reason names its window."""
    return f"over the last {window} rollouts" if window else "over the whole run"
