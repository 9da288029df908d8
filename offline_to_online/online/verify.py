"""``verify``: every hash and every verdict of a run again, from what is stored, and the first thing that does not hold.

The chain of hashes: MLflow keeps the head of the journal; the journal's records name ``run.json``, every episode, every
phase's result and what it made beside it, every batch, and at the end the summary and the final files; ``run.json``
names the handoff, and that everything in it, the panel too. Nothing is written, and no robot moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain as chained
from pathlib import Path

from offline_to_online.dataset.files import file_sha256
from offline_to_online.errors import PipelineError, RunError, ServerError
from offline_to_online.online import people
from offline_to_online.online.finding import Finding
from offline_to_online.online.journal import Chain, Record, split_lines
from offline_to_online.online.past import PastRun
from offline_to_online.online.registry import Head, kept_head
from offline_to_online.online.run import DECISION, facts_of
from offline_to_online.online.verify_files import FACTS, JOURNAL, OPERATIONAL, file_findings, handoff_findings, present
from offline_to_online.online.verify_verdicts import verdict_findings

HASH = (str,)
FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "begin": {"run": (str,), "sha256": HASH},
    "episode": {"index": (int,), "round": (int,), "sha256": HASH},
    "phase": {"round": (int,), "phase": (str,), "sha256": HASH},
    "batch": {"file": (str,), "sha256": HASH},
    "audit_block": {"sha256": HASH},
    "over": {"sha256": HASH, "files": (dict,)},
    people.EMERGENCY_STOP: {"round": (int,), "phase": (str,), "index": (int,), "steps": (int,), "reason": (str,)},
}


@dataclass(frozen=True, kw_only=True)
class Verified:
    """Everything holds: what was looked at.

    Attributes:
        run: its name.
        records: of the journal.
        head: SHA-256 of its last one.
        kept: records up to the head that MLflow keeps; None: it keeps none yet.
        files: covered by a hash, the journal aside.
        verdicts: recomputed: of safety gates, screens, certifications, decisions, the audit block and the summary.
        rounds: that were decided.
        uncovered: files that no hash covers, by name.
    """

    run: str
    records: int
    head: str
    kept: int | None
    files: int
    verdicts: int
    rounds: int
    uncovered: tuple[str, ...]

    def line(self) -> str:
        """One line for a person."""
        kept = "MLflow keeps no head yet" if self.kept is None else f"MLflow keeps the head of {self.kept}"
        operational = f"; not covered: {', '.join(self.uncovered)}" if self.uncovered else ""
        return (
            f"run {self.run}: everything holds: {self.records} records to {self.head[:12]} ({kept}), {self.files} "
            f"files, {self.rounds} rounds, {self.verdicts} verdicts{operational}"
        )


def verify(folder: Path, *, head: Callable[[], Head | None]) -> Verified | Finding:
    """Look at everything in a run's folder; the first thing that does not hold, or what was looked at.

    Args:
        folder: of the run; finished, halted, or interrupted anywhere.
        head: asks for the head of the journal as it was kept elsewhere; None before that. It is asked once what says
            where to ask is known to hold.

    Raises:
        RunError: there is no run.
        ServerError: nobody answers where the head is kept.
    """
    if not (folder / JOURNAL).is_file():
        if (folder / FACTS).is_file():
            return Finding(what=f"{JOURNAL} is missing", where=folder.name)
        raise RunError("no such run", where=str(folder), limit="a run with a journal", remedy="name another run")
    records, kept = Chain(), list[Head | None]()
    counted: list[str] = []
    looks = (
        _journal(folder, records),
        _head(folder, records, head, kept),
        _contents(folder, records, counted),
        _no_head(records, kept),
    )
    try:
        found = next(chained(*looks), None)
    except ServerError:
        raise
    except PipelineError as error:
        place = error.where.replace(f"{folder}/", "") or folder.name
        found = Finding(what=error.what.replace(f"{folder}/", ""), where=place, recorded=error.limit)
    if found is not None:
        return found
    return Verified(
        run=folder.name,
        records=len(records.records),
        head=records.head,
        kept=kept[0].records if kept[0] else None,
        files=len(present(folder)) - 1,
        verdicts=len(counted),
        rounds=len(records.of("phase", phase=DECISION)),
        uncovered=tuple(sorted(name for name in OPERATIONAL if (folder / name).is_file())),
    )


def head_of(folder: Path) -> Head | None:
    """The head of a run's journal as MLflow keeps it, or None.

    Raises:
        RunError: it was begun with another version.
        ServerError: its MLflow server does not answer.
    """
    _, config = facts_of(folder)
    return kept_head(folder.parent, config.servers.mlflow, folder.name, folder)


def _journal(folder: Path, records: Chain) -> Iterator[Finding]:
    """What does not hold in the journal, which is taken into ``records``."""
    whole, rest = split_lines((folder / JOURNAL).read_bytes())
    for number, line in enumerate(whole, start=1):
        where = f"{JOURNAL}:{number}"
        record = records.take(line, where=where)
        if record.line() != line:
            yield Finding(what="a record is not written as records are", where=where)
        yield from _misshapen(record, where)
    if rest:
        yield Finding(
            what=f"a torn last line of {len(rest)} bytes",
            where=f"{JOURNAL}:{len(whole) + 1}",
            recorded="whole lines; the next start of the run discards it",
        )
    if not records.of("begin"):
        yield Finding(what="the journal does not say what began", where=JOURNAL)


def _head(folder: Path, records: Chain, ask: Callable[[], Head | None], kept: list[Head | None]) -> Iterator[Finding]:
    """Whether the journal is the one whose head was kept, which is put into ``kept``."""
    if not (folder / FACTS).is_file():
        yield Finding(what=f"{FACTS} is missing", where=f"{JOURNAL}:1")
    recorded, found = str(records.of("begin")[0].data["sha256"]), file_sha256(folder / FACTS)
    if found != recorded:
        yield Finding(what=f"{FACTS} was changed", where=f"{JOURNAL}:1", recorded=recorded[:12], found=found[:12])
    head = ask()
    kept.append(head)
    if head is not None and records.head_at(head.records) != head.sha256:
        yield Finding(
            what="the journal is not the one that MLflow keeps the head of",
            where=f"{JOURNAL}:{head.records}",
            recorded=f"{head.records} records to {head.sha256[:12]}",
            found=f"{len(records.records)} records, {records.head_at(head.records)[:12] or 'none'} there",
        )


def _no_head(records: Chain, kept: list[Head | None]) -> Iterator[Finding]:
    """Whether a head is missing; one that was killed between its first decision and keeping the head has none yet."""
    decided = records.of("phase", phase=DECISION)
    if decided and kept[0] is None and records.records[-1].sequence > decided[0].sequence:
        yield Finding(
            what="MLflow keeps no head of this journal", where=JOURNAL, recorded="one from the first round on"
        )


def _misshapen(record: Record, where: str) -> Iterator[Finding]:
    if record.kind == people.KIND:
        try:
            people.Decision.from_json(record.data)
        except (PipelineError, KeyError, TypeError, ValueError) as error:
            yield Finding(what=f"this is no decision: {error!r}", where=where)
        return
    wanted = FIELDS.get(record.kind)
    if wanted is None:
        yield Finding(what=f"a record of an unknown kind, {record.kind!r}", where=where)
        return
    for name, kinds in wanted.items():
        if not isinstance(record.data.get(name), kinds):
            yield Finding(what=f"{record.kind} without {name}", where=where, found=repr(record.data.get(name)))


def _contents(folder: Path, records: Chain, counted: list[str]) -> Iterator[Finding]:
    yield from file_findings(folder, records)
    yield from handoff_findings(folder)
    yield from verdict_findings(PastRun(folder, records), counted)
