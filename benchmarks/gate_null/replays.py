"""Runs replayed from pools of episodes, through the gate that is shipped: its rules, its windows, its error level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.gate_null.pools import Pool
from offline_to_online.online.certify import alpha_share, evidence_for
from offline_to_online.online.evidence import RolloutEvidence, Verdict
from offline_to_online.online.gating import Rule, judge
from offline_to_online.online.spending import Spending
from offline_to_online.online.trial import BASELINE, CANDIDATE, CHAMPION

Sides = Mapping[str, Sequence[RolloutEvidence]]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One run under the safety gate.

    Attributes:
        halted_after: episodes; 0 if it never was.
        rule: the one that halted it, or "".
        used: by rule, the largest share of a limit that was used until then.
    """

    halted_after: int
    rule: str
    used: Mapping[str, float]


def drawn(pool: Pool, episodes: int, rng: np.random.Generator) -> list[RolloutEvidence]:
    """So many episodes of a pool, drawn with replacement."""
    return [pool[i] for i in rng.integers(0, len(pool), episodes)]


def watched(gate: Sequence[Rule], rollouts: Sequence[RolloutEvidence]) -> Watched:
    """What the safety gate does with a run, asked after every episode as collection asks it."""
    spending, used = Spending(gate), dict[str, float]()
    for count, rollout in enumerate(rollouts, start=1):
        spending.add(rollout)
        verdicts = judge(gate, spending.evidence())
        for verdict in verdicts:
            used[verdict.rule] = max(used.get(verdict.rule, 0.0), _share(verdict))
        broken = [verdict.rule for verdict in verdicts if not verdict.passed]
        if broken:
            return Watched(halted_after=count, rule=broken[0], used=used)
    return Watched(halted_after=0, rule="", used=used)


def _share(verdict: Verdict) -> float:
    return verdict.measured / max(verdict.limit, 1e-9)


@dataclass(frozen=True, kw_only=True)
class Certified:
    """One run under the acceptance gate: which of its candidates were accepted, and the pairs that each took."""

    accepted: tuple[bool, ...]
    pairs: tuple[int, ...]


def certified(
    gate: Sequence[Rule], baseline: Pool, candidates: Sequence[Pool], rng: np.random.Generator, *, tasks: int
) -> Certified:
    """One candidate after the other, against the champion and the baseline on tasks of its own.

    Args:
        gate: the acceptance rules.
        baseline: what was handed off, on the pool's tasks.
        candidates: round by round, each on the same tasks.
        rng: draws the tasks of each round, with replacement.
        tasks: in an acceptance block.
    """
    champion, rounds = baseline, list[tuple[int, dict[str, Any]]]()
    for number, candidate in enumerate(candidates, start=1):
        block = rng.integers(0, len(baseline), tasks)
        policies = {CANDIDATE: candidate, CHAMPION: champion, BASELINE: baseline}
        share = alpha_share(rounds, number, rounds=len(candidates))
        said = _decided(gate, {name: [pool[i] for i in block] for name, pool in policies.items()}, number, share)
        rounds.append((number, said))
        champion = candidate if said["accepted"] else champion
    results = [said for _, said in rounds]
    return Certified(accepted=tuple(r["accepted"] for r in results), pairs=tuple(r["pairs"] for r in results))


def _decided(gate: Sequence[Rule], sides: Sides, number: int, share: float) -> dict[str, Any]:
    """Batches of pairs until the rules want no more, as certification plays them."""
    pairs, size = 0, min(map(len, sides.values()))
    while True:
        seen = {name: rows[:pairs] for name, rows in sides.items()}
        evidence = evidence_for(seen, candidate_number=number, share=share)
        wanted = max(rule.wants_pairs(evidence) for rule in gate)
        over_budget = any(not rule.check(evidence).passed for rule in gate if not rule.compares)
        if over_budget or not min(wanted, size - pairs):
            return {"pairs": pairs, "accepted": all(verdict.passed for verdict in judge(gate, evidence))}
        pairs += min(wanted, size - pairs)


def truly(pool: Pool, baseline: Pool, outcome: str) -> float:
    """The true difference to the baseline where tasks are drawn from the pool: its mean over all of them."""
    return float(np.mean([a.outcome(outcome) - b.outcome(outcome) for a, b in zip(pool, baseline, strict=True)]))
