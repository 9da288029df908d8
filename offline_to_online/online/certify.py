"""Certification: candidate, champion and baseline on the same tasks of a fresh block, until it is decided.

A candidate holds the share of the run's error level of its own round, and of the rounds before it that spent none of
theirs: those that accepted their candidate, or compared none. A rejection spends what the candidate held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.dataset.store import load_episodes
from offline_to_online.evaluation.panel import acceptance_block
from offline_to_online.evaluation.play import load_support
from offline_to_online.evaluation.statistics import fallback_share
from offline_to_online.learning.policy import Policy
from offline_to_online.online.evidence import Evidence, RolloutEvidence, Verdict
from offline_to_online.online.forgetting import FILE, forgetting_of
from offline_to_online.online.gating import Rule, broken, judge
from offline_to_online.online.run import AUDIT, CERTIFY, DECISION, REJECTED, UPDATE, OnlineRun, was_rejected
from offline_to_online.online.trial import BASELINE, CANDIDATE, CHAMPION, Trial
from offline_to_online.support.audit import audit


def audit_candidate(run: OnlineRun, number: int) -> dict[str, Any]:
    """The support audit of the round's candidate on the handoff's held-out states; its ``metrics.json``.

    What the candidate has forgotten there lies beside it, in a file of its own, so that each number serves one purpose.
    """

    def look() -> dict[str, Any]:
        folder, policy = run.round_folder(number) / AUDIT, run.round_folder(number) / "candidate" / "policy.safetensors"
        audit_policy(run, policy, f"candidate {number}", folder, number)
        write_json(folder / FILE, forgetting_of(run, policy).to_json())
        return dict(read_json(folder / "metrics.json"))

    return run.phase(number, AUDIT, look)


def audit_policy(run: OnlineRun, policy: Path, name: str, folder: Path, number: int) -> None:
    """Audit a policy as the offline stage did, into ``metrics.json`` and ``actions.parquet`` of a folder."""
    estimator, calibration = load_support(run.handoff_folder)
    episodes = load_episodes(run.handoff_folder / "episodes", "heldout")
    found = audit(Policy.load(policy), estimator, calibration, episodes, run.module, run.rng(AUDIT, number), name=name)
    found.save(folder)


def certify(run: OnlineRun, number: int) -> dict[str, Any]:
    """Play batches of paired tasks until the rules want no more, a budget rule is broken, or nothing is left to play.

    A policy that was rejected before, in this run or in one beside it that had begun earlier, is not played again: that
    would be another try at the same error.

    Returns:
        ``candidate_number``, ``block`` and its hash, ``pairs``, ``executed`` episodes, ``accepted``, ``reason``,
        ``verdicts``, the ``certified_success_rate`` of each side, ``certain`` (by side, what is certain of the
        difference at the candidate's level), and what it may err: ``alpha_share`` (of the rules' alpha),
        ``error_level`` (that share of alpha) and ``error_spent`` (0 where it was accepted, or nothing was played).
    """
    return run.phase(number, CERTIFY, lambda: certification(run, number))


def alpha_share(certified: Iterable[tuple[int, Mapping[str, Any]]], number: int, *, rounds: int) -> float:
    """The share of a run's error level that the candidate of a round may use: known before it is played.

    Args:
        certified: what each certification of the run says, by round.
        number: of the round.
        rounds: of the run.
    """
    spent = [k for k, said in certified if k < number and said["pairs"] and not said["accepted"]]
    return fallback_share(number - max(spent, default=0), rounds)


def rejected_before(run: OnlineRun, number: int) -> str:
    """Where a round's candidate, byte for byte, was rejected already: in an earlier round, or an earlier run; or ""."""
    policy = str((run.result(number, UPDATE) or {}).get("policy_sha256"))
    for k, certified in run.results(CERTIFY):
        same = k < number and (run.result(k, UPDATE) or {}).get("policy_sha256") == policy
        if same and was_rejected(certified, run.result(k, DECISION)):
            return f"round {k}"
    return str(run.facts.get(REJECTED, {}).get(policy, ""))


def evidence_for(sides: Mapping[str, Sequence[RolloutEvidence]], *, candidate_number: int, share: float) -> Evidence:
    """What the acceptance rules may look at; while the champion is the baseline, it plays once for both."""
    return Evidence(
        rollouts=tuple(sides[CANDIDATE]),
        champion=tuple(sides[CHAMPION]),
        baseline=tuple(sides.get(BASELINE, sides[CHAMPION])),
        candidate_number=candidate_number,
        alpha_share=share,
    )


def error_level(gate: Sequence[Rule], share: float) -> float:
    """The chance of a wrong acceptance that a candidate with this share is tested at."""
    return max(share * getattr(rule.config, "alpha", 0.0) for rule in gate if rule.compares)


def certification(run: OnlineRun, number: int) -> dict[str, Any]:
    """What ``certify`` writes down; batches that were played are read."""
    standing, gate = run.standing(before=number), run.gate("acceptance")
    share = alpha_share(run.results(CERTIFY), number, rounds=run.config.rounds)
    block, candidate_number = int(run.facts["first_block"]) + standing.candidates, standing.candidates + 1
    trial = _trial(run, number, block)
    again = rejected_before(run, number)
    evidence, cut_short = _play(trial, gate, candidate_number, share, 0 if again else run.allowance())
    verdicts = [] if again else judge(gate, evidence)
    accepted = not again and all(v.passed for v in verdicts)
    level = error_level(gate, share)
    return {
        "candidate_number": candidate_number,
        "block": block,
        "block_sha256": run.panel.acceptance[block].sha256,
        "pairs": trial.pairs,
        "executed": trial.executed,
        "accepted": accepted,
        "reason": f"rejected in {again} already, byte for byte: not certified again"
        if again
        else _reason(gate, verdicts, cut_short),
        "verdicts": [v.to_json() for v in verdicts],
        "certain": _certain(gate, evidence),
        "alpha_share": share,
        "error_level": level,
        "error_spent": level if trial.pairs and not accepted else 0.0,
        "certified_success_rate": trial.rates("certified"),
        "success_rate": trial.rates("success"),
    }


def _trial(run: OnlineRun, number: int, block: int) -> Trial:
    folder, champion = run.round_folder(number), run.standing(before=number).policy
    policies = {CANDIDATE: folder / "candidate" / "policy.safetensors", CHAMPION: champion}
    if champion != run.baseline:
        policies[BASELINE] = run.baseline
    tasks = acceptance_block(run.panel, block)
    return Trial(run, folder / CERTIFY, policies, tasks, title=f"round {number}: certifying")


def _play(
    trial: Trial, gate: Sequence[Rule], candidate_number: int, share: float, allowance: int
) -> tuple[Evidence, str]:
    """Play until it is decided, or nothing is left to play with: what there is to judge by, and what ran out."""
    while True:
        evidence = evidence_for(trial.sides, candidate_number=candidate_number, share=share)
        wanted = max(rule.wants_pairs(evidence) for rule in gate)
        affordable = allowance // len(trial.policies) - trial.pairs
        if not wanted or any(not rule.check(evidence).passed for rule in gate if not rule.compares):
            return evidence, ""
        if min(trial.left, affordable) <= 0:
            return evidence, f"the {'interaction budget' if affordable <= 0 else 'acceptance block'} is spent; "
        trial.play(min(wanted, trial.left, affordable))


def _reason(gate: Sequence[Rule], verdicts: Sequence[Verdict], cut_short: str) -> str:
    """Why it was accepted or not, with the bound that the test gives, in words."""
    failed = broken(verdicts)
    if failed:
        return cut_short + failed
    return "every rule passed: " + "; ".join(v.reason for v, rule in zip(verdicts, gate, strict=True) if rule.compares)


def _certain(gate: Sequence[Rule], evidence: Evidence) -> dict[str, float]:
    """By side, the strictest of what the rules call certain of the difference; nothing before the first pair."""
    bounds = [rule.module.certain(evidence, rule.config) for rule in gate if hasattr(rule.module, "certain")]
    return {side: min(b[side] for b in bounds) for side in (bounds[0] if evidence.rollouts and bounds else ())}
