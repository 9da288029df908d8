"""Every verdict of a run worked out again, by the code that gave it, from what was on record just before.

Safety gates from the episodes' own files; screens from their estimates; certifications and the audit block from their
batches, through the rules; decisions from those; the summary from everything. Networks are not trained again: an
update is held to the hashes of what it started from and made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from offline_to_online.dataset.files import file_sha256, read_json
from offline_to_online.evaluation.off_policy import Estimate
from offline_to_online.evaluation.rollout import read_rollout
from offline_to_online.online import people
from offline_to_online.online.audit_block import held_against_baseline
from offline_to_online.online.certify import certification
from offline_to_online.online.collect import gathered, judged
from offline_to_online.online.decide import outcome
from offline_to_online.online.finding import Finding, differences
from offline_to_online.online.finish import COMPARED, SUMMARY, summary_of
from offline_to_online.online.journal import Record
from offline_to_online.online.past import PastRun
from offline_to_online.online.run import AUDIT, CERTIFY, COLLECT, DECISION, SAFETY, SCREEN, UPDATE
from offline_to_online.online.screen import judge

Row = Mapping[str, Any]


def verdict_findings(run: PastRun, counted: list[str]) -> Iterator[Finding]:
    """What does not follow from what is stored, in the order of the journal.

    Args:
        run: after all its records.
        counted: where everything that was worked out again is named.
    """
    for record in run.journal.records:
        match record.kind:
            case "phase":
                yield from _phase(run, record)
                counted.append(f"round {record.data['round']} {record.data['phase']}")
            case "audit_block":
                yield from _audit_block(run, record)
                counted.append("audit block")
            case "over":
                yield from _summary(run.at(record.sequence))
                counted.append("summary")


def _phase(run: PastRun, record: Record) -> Iterator[Finding]:
    number, name, past = int(record.data["round"]), str(record.data["phase"]), run.at(record.sequence)
    stored = read_json(run.round_folder(number) / f"{name}.json")
    where = f"rounds/{number:03d}/{name}.json"
    held_up = past.halt()
    if held_up is not None:
        yield Finding(what=f"the run went on although it was halted: {held_up.reason}", where=where)
    check = CHECKS.get(name)
    if check is None:
        yield Finding(what=f"a phase that no round has, {name!r}", where=f"journal.jsonl:{record.sequence}")
    else:
        yield from check(past, number, stored, where)


def _collect(past: PastRun, number: int, stored: Row, where: str) -> Iterator[Finding]:
    again = gathered(past, number, lambda index: read_rollout(past.episode_path(index)))
    yield from differences(stored, again, where=where)
    for record in past.journal.of("episode", round=number):
        index = int(record.data["index"])
        if not stored["first"] <= index < stored["first"] + stored["episodes"]:
            yield Finding(what=f"episode {index} belongs to no collection", where=f"journal.jsonl:{record.sequence}")


def _safety(past: PastRun, number: int, stored: Row, where: str) -> Iterator[Finding]:
    yield from differences(stored, judged(past, number), where=where)


def _update(past: PastRun, number: int, stored: Row, where: str) -> Iterator[Finding]:
    made = past.round_folder(number) / "candidate"
    again = {"started_from_sha256": file_sha256(past.standing(before=number).learner)}
    if stored["candidate"]:
        again |= {f"{name}_sha256": file_sha256(made / f"{name}.safetensors") for name in ("policy", "learner")}
    yield from differences({name: stored.get(name) for name in again}, again, where=where)


def _screen(past: PastRun, number: int, stored: Row, where: str) -> Iterator[Finding]:
    again: dict[str, Any] = {"passed": True, "verdicts": []}
    if "difference" in stored:
        config = past.config.screen
        verdict = judge(Estimate(**stored["difference"]), margin=config.margin, alpha=config.alpha)
        again = {"passed": verdict.passed, "verdicts": [verdict.to_json()]}
    yield from differences({name: stored[name] for name in again}, again, where=where)


def _audit(past: PastRun, number: int, stored: Row, where: str) -> Iterator[Finding]:
    yield from differences(stored, read_json(past.round_folder(number) / AUDIT / "metrics.json"), where=where)


def _certify(past: PastRun, number: int, stored: Row, where: str) -> Iterator[Finding]:
    yield from differences(stored, certification(past, number), where=where)


def _decision(past: PastRun, number: int, stored: Row, where: str) -> Iterator[Finding]:
    again = outcome(past, number)
    if again["accepted"]:
        again |= {"policy_sha256": (past.result(number, UPDATE) or {}).get("policy_sha256")}
    said = {name: value for name, value in stored.items() if name != "version"}
    yield from differences(said, again, where=where)
    if again["accepted"] and not stored.get("version"):
        yield Finding(what="an accepted candidate without a version", where=where)


def _audit_block(run: PastRun, record: Record) -> Iterator[Finding]:
    where = "final/audit_block.json"
    stored = read_json(run.folder / where)
    yield from differences(stored, held_against_baseline(run.at(record.sequence)), where=where)
    gone_back = [r for r in run.journal.of(people.KIND, subject=people.ROLLBACK) if r.sequence > record.sequence]
    if stored["rolled_back"] and run.journal.of("over") and not gone_back:
        yield Finding(what="the champion lost on the audit block, and stayed", where=where)


def _summary(past: PastRun) -> Iterator[Finding]:
    audited = read_json(past.folder / "final/audit_block.json") if past.journal.of("audit_block") else None
    stored, again = read_json(past.folder / SUMMARY), summary_of(past, audited)
    if stored["halted"] and stored["difference"] is not None:
        # Runs of earlier versions were evaluated although they had been halted.
        again |= {name: stored[name] for name in (*COMPARED, "executed_episodes")}
    yield from differences(stored, {name: value for name, value in again.items() if name in stored}, where=SUMMARY)


CHECKS: Mapping[str, Callable[[PastRun, int, Row, str], Iterator[Finding]]] = {
    COLLECT: _collect,
    SAFETY: _safety,
    UPDATE: _update,
    SCREEN: _screen,
    AUDIT: _audit,
    CERTIFY: _certify,
    DECISION: _decision,
}
