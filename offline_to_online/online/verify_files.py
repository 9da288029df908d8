"""Every file of a run against the hash that covers it: none changed, none missing, none that is not on record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from offline_to_online.dataset.files import file_sha256, read_json
from offline_to_online.evaluation.handoff import RECORD, load_handoff
from offline_to_online.evaluation.panel import load_panel
from offline_to_online.online.finding import Finding
from offline_to_online.online.journal import Chain
from offline_to_online.online.recorded import PARTIAL
from offline_to_online.online.run import AUDIT, CERTIFY, CLOSING, COLLECT, DECISION, MADE_BESIDE, SAFETY, SCREEN, UPDATE

JOURNAL, FACTS, SUMMARY, HANDOFF = "journal.jsonl", "run.json", "summary.json", "handoff"
# What no result is made of, and what may differ between a run that was killed and one that was not.
OPERATIONAL = ("attempts.jsonl", CLOSING, "prefect.json", "report.html")
Covered = dict[str, tuple[str, str]]


def present(folder: Path) -> set[str]:
    """Every file of a run that must be covered, by path; the handoff's own, and what is operational, left out."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink()}
    return {n for n in names if n not in OPERATIONAL and not n.startswith(f"{HANDOFF}/") and not n.endswith(PARTIAL)}


def covered(records: Chain) -> Covered:
    """The hash of every file that a record names, and which record does."""
    found: Covered = {}
    for record in records.records:
        data, where = record.data, f"{JOURNAL}:{record.sequence}"
        named: dict[str, str] = dict(data.get("files", {}))
        match record.kind:
            case "begin":
                named[FACTS] = data["sha256"]
            case "episode":
                named[f"episodes/{data['index'] + 1:06d}.parquet"] = data["sha256"]
            case "phase":
                named[f"rounds/{data['round']:03d}/{data['phase']}.json"] = data["sha256"]
            case "batch":
                named[data["file"]] = data["sha256"]
            case "audit_block":
                named["final/audit_block.json"] = data["sha256"]
            case "over":
                named[SUMMARY] = data["sha256"]
        found |= {name: (sha256, where) for name, sha256 in named.items()}
    return found


def file_findings(folder: Path, records: Chain) -> Iterator[Finding]:
    """Files that are missing, were changed, or that nothing covers.

    A run that is not over may have been killed between a file and its record: what its next step is about to record,
    and that alone, may lie there uncovered.
    """
    names, hashes = present(folder) - {JOURNAL}, covered(records)
    for name, (recorded, where) in hashes.items():
        if name not in names:
            yield Finding(what=f"{name} is missing", where=where, recorded=recorded[:12])
        elif (found := file_sha256(folder / name)) != recorded:
            yield Finding(what=f"{name} was changed", where=where, recorded=recorded[:12], found=found[:12])
    whole, beside = _next(records)
    pending = [name for name in sorted(names - set(hashes)) if name not in beside and not _is_below(name, beside)]
    for name in pending:
        if name not in whole or len(pending) > 1:
            yield Finding(what=f"{name} is covered by no hash", where=JOURNAL, recorded=f"{len(hashes)} other files")


def _is_below(name: str, folders: set[str]) -> bool:
    return any(name.startswith(folder) for folder in folders if folder.endswith("/"))


def _next(records: Chain) -> tuple[set[str], set[str]]:
    """What the next record may be of, and what may lie beside that already: files, or folders with a slash."""
    if records.of("over"):
        return set(), set()
    number = len(records.of("phase", phase=DECISION)) + 1
    place = f"rounds/{number:03d}"
    done = {str(record.data["phase"]) for record in records.of("phase", round=number)}
    batches = sum(str(record.data["file"]).startswith(f"{place}/") for record in records.of("batch"))
    whole = {f"{place}/{name}.json" for name in _next_phases(done)}
    if COLLECT not in done:
        whole.add(f"episodes/{len(records.of('episode')) + 1:06d}.parquet")
    if AUDIT in done and CERTIFY not in done:
        whole.add(f"{place}/{CERTIFY}/{batches + 1:03d}.json")
    beside = {f"{place}/{folder}/" for name, folder in MADE_BESIDE.items() if name in _next_phases(done)}
    if not done or SAFETY in done:
        # Rounds may be over, or the run halted: the audit block, the final evaluation and the summary come next.
        audits = sum(str(record.data["file"]).startswith("final/") for record in records.of("batch"))
        whole |= {f"final/audit_block/{audits + 1:03d}.json", "final/audit_block.json", SUMMARY}
        beside |= {"final/baseline/", "final/champion/"}
    return whole, beside


def _next_phases(done: set[str]) -> set[str]:
    """The phases one of which comes next in a round in which some are done."""
    if not done:
        return {COLLECT}
    following = {COLLECT: {SAFETY}, SAFETY: {UPDATE}, UPDATE: {SCREEN, AUDIT, DECISION}, SCREEN: {AUDIT, DECISION}}
    following |= {AUDIT: {CERTIFY, DECISION}, CERTIFY: {DECISION}}
    last = next((name for name in (CERTIFY, AUDIT, SCREEN, UPDATE, SAFETY) if name in done), COLLECT)
    return following[last]


def handoff_findings(folder: Path) -> Iterator[Finding]:
    """What does not hold in the run's copy of its handoff, or in the panel."""
    facts, place = read_json(folder / FACTS), folder / HANDOFF
    yield from _differs(HANDOFF + "/" + RECORD, str(facts["handoff_sha256"]), file_sha256(place / RECORD))
    record = load_handoff(place)
    known = {RECORD, *record["files"]}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if (path.is_file() or path.is_symlink()) and name not in known:
            yield Finding(what=f"{HANDOFF}/{name} is covered by no hash", where=f"{HANDOFF}/{RECORD}")
    panel = load_panel(place / "panel.json")
    yield from _differs("the panel", str(facts["panel_sha256"]), panel.sha256)
    blocks = [block.sha256 for block in panel.acceptance[int(facts["first_block"]) :]]
    committed: Mapping[int, str] = dict(enumerate(facts["acceptance_sha256"]))
    for index, recorded in committed.items():
        yield from _differs(f"acceptance block {index + int(facts['first_block'])}", recorded, blocks[index])


def _differs(what: str, recorded: str, found: str) -> Iterator[Finding]:
    if recorded != found:
        yield Finding(
            what=f"{what} is not what the run began with", where=FACTS, recorded=recorded[:12], found=found[:12]
        )
