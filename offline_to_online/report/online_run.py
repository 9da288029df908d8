"""An online run as its folder tells it, whatever of it is there: running, halted, finished or interrupted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline_to_online.dataset.files import read_json
from offline_to_online.errors import RunError
from offline_to_online.evaluation.handoff_table import policy_row
from offline_to_online.evaluation.rollout import read_rollout
from offline_to_online.online.collect import evidence_of
from offline_to_online.online.evidence import Evidence, RolloutEvidence, Verdict
from offline_to_online.online.gating import judge, rules
from offline_to_online.online.run import AUDIT, CERTIFY, COLLECT, DECISION, PHASES, SAFETY, SCREEN

SIDES = ("baseline", "champion")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run's folder holds, read without changing anything in it.

    Attributes:
        facts: ``run.json``.
        handoff: the record of the handoff it started from.
        rounds: by round's number (from 1), the phases that are done, by name.
        evidence: every collected rollout, oldest first.
        final: ``baseline`` and ``champion``: their evaluations on the tuned robot, as far as they are there.
        audits: the same of their audits.
        summary: ``summary.json``, empty while the run is not over.
        records: lines of the journal.
    """

    facts: dict[str, Any]
    handoff: dict[str, Any]
    rounds: dict[int, dict[str, Any]]
    evidence: tuple[RolloutEvidence, ...]
    final: dict[str, dict[str, Any]]
    audits: dict[str, dict[str, Any]]
    summary: dict[str, Any]
    records: int

    @property
    def state(self) -> str:
        """``halted``, ``finished`` or ``not finished``."""
        if self.summary:
            return "halted" if self.summary["halted"] else "finished"
        if any(not phases.get(SAFETY, {"passed": True})["passed"] for phases in self.rounds.values()):
            return "halted"
        return "not finished"

    @property
    def round_ends(self) -> list[int]:
        """How many episodes were collected when each round's collection ended."""
        collected = [phases[COLLECT] for phases in self.rounds.values() if COLLECT in phases]
        return [int(c["first"]) + int(c["episodes"]) for c in collected]

    @property
    def accepted(self) -> list[int]:
        """Rounds whose candidate became the champion."""
        return [number for number, phases in self.rounds.items() if phases.get(DECISION, {}).get("accepted")]


def read_run(folder: Path) -> RunRecord:
    """Read ``data/online/<run>``.

    Raises:
        RunError: it is no run.
        DataError: a file of it is broken.
    """
    if not (folder / "run.json").is_file():
        raise RunError("no such run", where=str(folder), remedy="start one: python -m flows.finetune --new")
    rounds = _rounds(folder)
    journal = folder / "journal.jsonl"
    return RunRecord(
        facts=read_json(folder / "run.json"),
        handoff=read_json(folder / "handoff" / "handoff.json"),
        rounds=rounds,
        evidence=_evidence(folder, rounds),
        final={side: _optional(folder / "final" / side / "metrics.json") for side in SIDES},
        audits={side: _optional(folder / "final" / side / AUDIT / "metrics.json") for side in SIDES},
        summary=_optional(folder / "summary.json"),
        records=_whole_lines(journal),
    )


def aligned_rows(run: RunRecord) -> list[dict[str, Any]]:
    """The handoff's table, and below it baseline and champion on the robot that was tuned on."""
    judged = {side: metrics for side, metrics in run.final.items() if metrics}
    return [*run.handoff["table"], *(policy_row(side, _named(run, side), metrics) for side, metrics in judged.items())]


def budgets(run: RunRecord) -> dict[str, list[Verdict]]:
    """By safety rule, its verdict after each collected episode: exactly what the gate saw."""
    gate = rules(run.facts["config"]["gates"]["safety"])
    history: dict[str, list[Verdict]] = {rule.name: [] for rule in gate}
    for count in range(1, len(run.evidence) + 1):
        for verdict in judge(gate, Evidence(rollouts=run.evidence[:count])):
            history[verdict.rule].append(verdict)
    return history


def round_rows(run: RunRecord) -> list[dict[str, Any]]:
    """One row per round: what it collected, made, certified and decided."""
    rows = []
    for number, phases in run.rounds.items():
        certified, decision = phases.get(CERTIFY, {}), phases.get(DECISION, {})
        rates = certified.get("certified_success_rate", {})
        rows.append(
            {
                "round": number,
                "episodes": phases.get(COLLECT, {}).get("episodes"),
                **_drifts(phases.get(COLLECT, {}).get("evidence", ())),
                "outside": phases.get(AUDIT, {}).get("outside_support_rate"),
                "pairs": certified.get("pairs"),
                "candidate": rates.get("candidate"),
                "champion": rates.get("champion"),
                "baseline": rates.get("baseline", rates.get("champion")),
                "outcome": _outcome(phases),
                "version": decision.get("version") or None,
                "reason": decision.get("reason") or phases.get(SAFETY, {}).get("reason") or "",
            }
        )
    return rows


def verdict_rows(run: RunRecord) -> list[dict[str, Any]]:
    """One row per round, gate and rule, as the gates said it."""
    return [
        {"round": number, "gate": gate, **verdict}
        for number, phases in run.rounds.items()
        for phase, gate in ((SAFETY, "safety"), (SCREEN, "screen"), (CERTIFY, "acceptance"))
        for verdict in phases.get(phase, {}).get("verdicts", ())
    ]


def spent(run: RunRecord) -> dict[str, Any]:
    """What the robot was asked for: episodes by purpose, against the interaction budget, and interventions and cost."""
    certified = sum(int(phases[CERTIFY]["executed"]) for phases in run.rounds.values() if CERTIFY in phases)
    # The audit block is a certification too: the last one, of the champion.
    certified += int(run.summary.get("audit_episodes", 0))
    played = sum(int(m["tasks"]) * (1 + len(m["perturbed"])) for m in run.final.values() if m)
    return {
        "collected": len(run.evidence),
        "certification": certified,
        "evaluation": played,
        "executed": len(run.evidence) + certified + played,
        "budget": int(run.facts["config"]["interaction_budget_episodes"]),
        "interventions": sum(e.interventions for e in run.evidence),
        "cost": sum(e.cost for e in run.evidence),
        "worst_drift": max((e.support_drift for e in run.evidence), default=0.0),
        "worst_drift_k": max((e.support_drift_k for e in run.evidence if e.support_drift_k is not None), default=None),
    }


def _drifts(evidence: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Mean drift of a round's episodes against D_0 and against D_k, None where it was not measured."""
    sides = {name: [row.get(f"support_{name}") for row in evidence] for name in ("drift", "drift_k")}
    known = {name: [value for value in values if value is not None] for name, values in sides.items()}
    return {name: sum(values) / len(values) if values else None for name, values in known.items()}


def _outcome(phases: Mapping[str, Any]) -> str:
    if not phases.get(SAFETY, {"passed": True})["passed"]:
        return "halted"
    if DECISION not in phases:
        return "not finished"
    if not phases[DECISION]["candidate"]:
        return "no candidate"
    return "accepted" if phases[DECISION]["accepted"] else "rejected"


def _named(run: RunRecord, side: str) -> str:
    if side == "baseline":
        return str(run.handoff["chosen"])
    version = run.summary.get("champion_version")
    return f"version {version}" if version else f"of round {run.accepted[-1]}" if run.accepted else "(the baseline)"


def _rounds(folder: Path) -> dict[int, dict[str, Any]]:
    found = sorted(p for p in (folder / "rounds").glob("*") if p.is_dir() and p.name.isdigit())
    return {
        int(p.name): {phase: read_json(p / f"{phase}.json") for phase in PHASES if (p / f"{phase}.json").is_file()}
        for p in found
    }


def _evidence(folder: Path, rounds: Mapping[int, Mapping[str, Any]]) -> tuple[RolloutEvidence, ...]:
    """Of finished collections as they were judged, then of episodes that an unfinished one has left so far."""
    rows = [row for phases in rounds.values() for row in phases.get(COLLECT, {}).get("evidence", ())]
    left = sorted(p for p in (folder / "episodes").glob("*.parquet") if p.stem.isdigit() and int(p.stem) > len(rows))
    return (*map(RolloutEvidence.from_json, rows), *(evidence_of(read_rollout(path)) for path in left))


def _optional(path: Path) -> dict[str, Any]:
    return dict(read_json(path)) if path.is_file() else {}


def _whole_lines(path: Path) -> int:
    """Records in the journal; a torn last line is none yet."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    return sum(1 for line in lines if json.loads(line))
