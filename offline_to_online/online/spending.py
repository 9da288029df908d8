"""What the safety gate looks at of a run: the episodes of its windows, and sums over the run, episode after episode.

One more episode costs the same after a thousand as after ten: windows forget, and sums are carried on from round to
round in ``collect.json``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from offline_to_online.online.evidence import Evidence, RolloutEvidence, Totals
from offline_to_online.online.gating import Rule
from offline_to_online.online.run import COLLECT, OnlineRun


def safety_evidence(rollouts: Sequence[RolloutEvidence], acknowledged: int = 0) -> Evidence:
    """What the safety gate sees after all of a run's episodes so far; rules say the same of it as of ``Spending``.

    Args:
        rollouts: every collected episode, oldest first.
        acknowledged: so many of the first, which a person looked at and let pass: windows do not reach back to them.
    """
    return Evidence(rollouts=tuple(rollouts[acknowledged:]), run=Totals.of(rollouts))


class Spending:
    """The safety gate's evidence as it grows.

    Args:
        gate: the rules; the widest of their windows says how many episodes are kept.
        acknowledged: episodes that a person looked at and let pass: windows do not reach back to them.
        totals: of the episodes before the first that is added.
        recent: the last of those, as many as there are at hand.
    """

    def __init__(
        self,
        gate: Sequence[Rule],
        *,
        acknowledged: int = 0,
        totals: Totals | None = None,
        recent: Iterable[RolloutEvidence] = (),
    ) -> None:
        self._acknowledged = acknowledged
        self.totals = totals or Totals()
        self._recent = deque(recent, maxlen=widest(gate))

    def add(self, rollout: RolloutEvidence) -> None:
        """The next episode."""
        if self.totals.episodes >= self._acknowledged:
            self._recent.append(rollout)
        self.totals = self.totals.plus(rollout)

    def evidence(self) -> Evidence:
        """What the rules may look at now."""
        return Evidence(rollouts=tuple(self._recent), run=self.totals)


def widest(gate: Sequence[Rule]) -> int | None:
    """How many of the last episodes a gate's windows need; None, all of them, for a rule that names no window."""
    windows = [getattr(rule.config, "window", None) for rule in gate]
    return None if None in windows else max((int(window or 0) for window in windows), default=0)


def spending_before(run: OnlineRun, gate: Sequence[Rule], number: int) -> Spending:
    """What was spent in the rounds before one; as few of their results are read as the windows need."""
    acknowledged, most = run.acknowledged(), widest(gate)
    totals: Totals | None = None
    recent = deque[RolloutEvidence]()
    for earlier in range(number - 1, 0, -1):
        result = run.result(earlier, COLLECT)
        if result is None:
            continue
        totals = totals or _totals(run, earlier, result)
        unseen = result["evidence"][max(0, acknowledged - int(result["first"])) :]
        recent.extendleft(RolloutEvidence.from_json(row) for row in reversed(unseen))
        if int(result["first"]) <= acknowledged or (most is not None and len(recent) >= most):
            break
    return Spending(gate, acknowledged=acknowledged, totals=totals, recent=recent)


def _totals(run: OnlineRun, number: int, result: dict[str, Any]) -> Totals:
    """Up to the end of a round; runs of earlier versions did not carry them on."""
    if "totals" in result:
        return Totals.from_json(result["totals"])
    rows = [row for k, found in run.results(COLLECT) if k <= number for row in found["evidence"]]
    return Totals.of(RolloutEvidence.from_json(row) for row in rows)
