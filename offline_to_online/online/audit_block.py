"""The end of a run on the audit block: a champion that is shown to lose to the baseline goes back to it.

    final/audit_block/<batch>.json      what champion and baseline did, played once
    final/audit_block.json              what it says, with the bound in words

Going back is the same record in the journal as a person's rollback, by the name of the audit block.
"""

from __future__ import annotations

from typing import Any

from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.evaluation.panel import audit_block
from offline_to_online.learning.policy import Policy
from offline_to_online.online import audit_rule, people
from offline_to_online.online.evidence import RolloutEvidence, Verdict, paired_differences
from offline_to_online.online.recorded import settled_sha256
from offline_to_online.online.run import DECISION, OnlineRun
from offline_to_online.online.trial import BASELINE, CHAMPION, Trial

NAME = "the audit block"
RECORD = "audit_block"


def audit_champion(run: OnlineRun) -> dict[str, Any] | None:
    """Hold the champion of a run whose rounds are over against the baseline; None where it is the baseline, or is off.

    Returns:
        ``pairs`` and ``executed`` episodes, ``block_sha256``, ``champion_version`` and ``champion_policy_sha256`` (of
        the champion that was held against it), ``rolled_back``, ``reason``, ``verdicts`` (one), ``certain`` (of the
        difference to the baseline), ``error_level``, and the ``success_rate`` and ``certified_success_rate`` of both.
    """
    path = run.folder / "final" / "audit_block.json"
    if not path.exists():
        if not run.config.gates.audit.pairs or run.standing().policy == run.baseline:
            return None
        write_json(path, held_against_baseline(run))
    said: dict[str, Any] = read_json(path)
    run.journal.once(RECORD, {}, {"sha256": settled_sha256(path)})
    if said["rolled_back"]:
        _go_back(run, str(said["reason"]))
    return said


def outcome_of(run: OnlineRun) -> str:
    """What the acceptance gate compares, and hence the audit: ``success`` or ``score``."""
    return next((str(r.config.outcome) for r in run.gate("acceptance") if hasattr(r.config, "outcome")), "success")


def held_against_baseline(run: OnlineRun) -> dict[str, Any]:
    """What ``audit_champion`` writes down; batches that were played are read."""
    config, standing, outcome = run.config.gates.audit, run.standing(), outcome_of(run)
    trial = Trial(
        run,
        run.folder / "final" / "audit_block",
        {CHAMPION: standing.policy, BASELINE: run.baseline},
        audit_block(run.panel)[: config.pairs],
        title="the champion on the audit block",
    )
    verdict = _play(trial, config, outcome)
    return {
        "pairs": trial.pairs,
        "executed": trial.executed,
        "block_sha256": run.panel.audit.sha256,
        "champion_version": standing.version,
        "champion_policy_sha256": Policy.load(standing.policy).sha256,
        "rolled_back": not verdict.passed,
        "reason": verdict.reason,
        "verdicts": [verdict.to_json()],
        "certain": audit_rule.certain(paired_differences(*_sides(trial), outcome=outcome), config),
        "error_level": config.alpha,
        "certified_success_rate": trial.rates("certified"),
        "success_rate": trial.rates("success"),
    }


def _play(trial: Trial, config: audit_rule.AuditConfig, outcome: str) -> Verdict:
    while trial.left and not audit_rule.is_decided(*_sides(trial), config=config, outcome=outcome):
        trial.play(min(config.batch, trial.left))
    return audit_rule.verdict(*_sides(trial), config=config, outcome=outcome)


def _sides(trial: Trial) -> tuple[list[RolloutEvidence], list[RolloutEvidence]]:
    return trial.sides[CHAMPION], trial.sides[BASELINE]


def _go_back(run: OnlineRun, reason: str) -> None:
    if run.journal.of(people.KIND, subject=people.ROLLBACK, name=NAME):
        return
    number = max(k for k, _ in run.results(DECISION))
    asked = len(run.journal.of(people.KIND, subject=people.ROLLBACK, round=number)) + 1
    question = people.Question(subject=people.ROLLBACK, round=number, number=asked, reason=reason)
    people.decide(run.journal, question, people.Answer(answer=people.ROLLBACK, name=NAME, reason=reason, version=""))
