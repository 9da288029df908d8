"""``verify``: every hash and every verdict again, and the first thing that does not hold in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offline_to_online.dataset.files import file_sha256, read_json, write_json
from offline_to_online.online import people
from offline_to_online.online.__main__ import main
from offline_to_online.online.finding import Finding
from offline_to_online.online.journal import START, Chain, Record
from offline_to_online.online.registry import Head
from offline_to_online.online.verify import Verified, head_of, verify

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A finished run to be broken."""
    return Path(shutil.copytree(finished, tmp_path / "run-001"))


def looked_at(folder: Path, head: Head | None) -> Verified | Finding:
    return verify(folder, head=lambda: head)


def found(folder: Path, head: Head | None) -> str:
    """The line with which a broken run is found."""
    said = looked_at(folder, head)
    assert isinstance(said, Finding), said.line()
    assert "\n" not in said.line()
    return said.line()


def rewritten(folder: Path, change: Callable[[list[dict[str, Any]]], object]) -> Head:
    """Change records and chain them anew, as somebody would who covers his traces; the head that would follow."""
    path = folder / "journal.jsonl"
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    change(rows)
    chain, lines = Chain(), []
    for row in rows:
        record = Record(sequence=len(lines) + 1, previous=chain.head, kind=row["kind"], data=row["data"])
        lines.append(record.line())
        chain.add(record, lines[-1])
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return Head(sha256=chain.head, records=len(lines))


def forged(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> Head:
    """Change a phase's result and its hash on record, and chain the records anew; the head that would follow."""
    path = folder / name
    content = read_json(path)
    change(content)
    write_json(path, content)
    number, phase = int(name.split("/")[1]) if "rounds" in name else 0, path.stem

    def again(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            is_phase = row["kind"] == "phase" and (row["data"]["round"], row["data"]["phase"]) == (number, phase)
            is_summary = row["kind"] == "over" and phase == "summary"
            if is_phase or is_summary or row["data"].get("file") == name:
                row["data"]["sha256"] = file_sha256(path)

    return rewritten(folder, again)


def test_a_sound_run_holds_and_is_left_as_it_is(finished: Path) -> None:
    """Everything holds against the head in MLflow, and looking changes no byte."""
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    said = verify(finished, head=lambda: head_of(finished))
    assert isinstance(said, Verified), said.line()
    assert said.kept == said.records
    assert said.verdicts > 10
    assert "attempts.jsonl" in said.uncovered
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_the_command_says_one_line_and_its_status(
    finished: Path, copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 0 with the counts, 1 with the first finding, 2 for no run at all."""
    monkeypatch.chdir(finished.parent)
    main(["verify", str(finished)])
    assert capsys.readouterr().out.startswith("run run-001: everything holds")
    (copied / "summary.json").write_text("{}")
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(copied)])
    assert (ended.value.code, capsys.readouterr().out.count("\n")) == (1, 1)
    with pytest.raises(SystemExit) as ended:
        main(["verify", "run-077"])
    assert ended.value.code == 2
    assert "no such run" in capsys.readouterr().err


def test_every_file_is_covered_by_a_hash(finished: Path, copied: Path) -> None:
    """A changed byte in any file but the operational ones is found, whatever the file; so is a missing file."""
    head = head_of(finished)
    operational = {"attempts.jsonl"}
    for path in sorted(p for p in copied.rglob("*") if p.is_file()):
        name, content = path.relative_to(copied).as_posix(), path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        changed = looked_at(copied, head)
        path.unlink()
        missing = looked_at(copied, head) if path.name != "journal.jsonl" else changed
        path.write_bytes(content)
        assert isinstance(changed, Finding) == (name not in operational), name
        assert isinstance(missing, Finding) == (name not in operational), name
    assert isinstance(looked_at(copied, head), Verified)


@pytest.mark.parametrize("name", ["notes.txt", "episodes/000099.parquet", "rounds/001/more.json", "handoff/more.json"])
def test_a_file_that_is_not_on_record_is_found(finished: Path, copied: Path, name: str) -> None:
    """What nothing covers does not belong there."""
    (copied / name).write_text("{}")
    assert f"{name} is covered by no hash" in found(copied, head_of(finished))


def test_a_cut_journal_is_known_by_its_head(finished: Path, copied: Path) -> None:
    """Dropped last records, and a torn last line, are found; a head older than the journal is none the worse."""
    head, path = head_of(finished), copied / "journal.jsonl"
    assert head is not None
    lines = path.read_bytes().splitlines(keepends=True)
    older = Head(sha256=json.loads(lines[9])["previous"], records=9)
    assert isinstance(looked_at(copied, older), Verified)
    path.write_bytes(b"".join(lines[:-1]))
    assert f"recorded {head.records} records to {head.sha256[:12]}" in found(copied, head)
    path.write_bytes(b"".join(lines)[:-1])
    assert "a torn last line" in found(copied, head)
    path.write_bytes(b"".join(lines))
    assert "MLflow keeps no head" in found(copied, None)


def test_a_journal_that_was_chained_anew_is_known_by_its_head(finished: Path, copied: Path) -> None:
    """Swapped records whose hashes were mended are another journal than the one whose head is kept."""
    rewritten(copied, lambda rows: rows.insert(2, rows.pop(1)))
    assert "is not the one that MLflow keeps the head of" in found(copied, head_of(finished))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("rounds/001/collect.json", lambda c: c["evidence"][0].update(interventions=7), r"evidence[0]"),
        ("rounds/001/safety.json", lambda c: c.update(passed=False), "passed"),
        ("rounds/002/update.json", lambda c: c.update(started_from_sha256=START), "started_from_sha256"),
        ("rounds/001/screen.json", lambda c: c.update(passed=False), "passed"),
        ("rounds/001/certify.json", lambda c: c.update(accepted=False), "accepted"),
        ("rounds/001/certify/001.json", lambda c: [r.update(success=not r["success"]) for r in c["candidate"]], ""),
        ("rounds/002/decision.json", lambda c: c.update(accepted=False), "accepted"),
        ("summary.json", lambda c: c.update(champion_success=1.5), "champion_success"),
    ],
)  # fmt: skip
def test_a_verdict_that_does_not_follow_is_found(
    copied: Path, name: str, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    """Somebody who mends every hash, head included, still cannot change a verdict: it is worked out again."""
    line = found(copied, forged(copied, name, change))
    assert f"{said} does not follow from what is stored" in line or not said
    assert "recorded" in line


def test_a_run_that_went_on_although_it_was_halted_is_found(copied: Path) -> None:
    """An emergency stop that a person did not let pass, and a phase after it."""
    no = people.Answer(answer=people.REJECT, name="Ada", reason="too hot")
    decision = people.Decision(subject=people.EMERGENCY_STOP, round=1, question=1, answer=no, episodes=0)
    stop = {
        "kind": "emergency_stop",
        "data": {"round": 1, "phase": "collect", "index": 0, "steps": 3, "reason": "smoke"},
    }
    refused = {"kind": people.KIND, "data": decision.to_json()}
    head = rewritten(copied, lambda rows: (rows.insert(1, stop), rows.insert(2, refused)))
    assert "went on although it was halted: emergency stop: smoke" in found(copied, head)


def test_an_interrupted_run_holds(finished: Path, copied: Path) -> None:
    """Killed after any record, or between a file and its record, a run verifies; with two such files it does not."""
    path = copied / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    by_record = {number: named_by(line) for number, line in enumerate(lines)}
    for cut in range(len(lines) - 1, 0, -1):
        path.write_bytes(b"".join(lines[:cut]))
        between = looked_at(copied, None if decided(lines[:cut]) == 0 else kept(lines[:cut]))
        assert isinstance(between, Verified), between.line()
        remove(copied, by_record[cut], [name for earlier in range(cut) for name in by_record[earlier]])
        after = looked_at(copied, kept(lines[:cut]))
        assert isinstance(after, Verified), after.line()


def named_by(line: bytes) -> list[str]:
    """Files that a record names."""
    row = json.loads(line)
    data = row["data"]
    match row["kind"]:
        case "episode":
            return [f"episodes/{data['index'] + 1:06d}.parquet"]
        case "phase":
            return [f"rounds/{data['round']:03d}/{data['phase']}.json", *data.get("files", {})]
        case "batch":
            return [data["file"]]
        case "audit_block":
            return ["final/audit_block.json"]
        case "over":
            return ["summary.json", *data["files"]]
    return []


def remove(folder: Path, names: list[str], but: list[str]) -> None:
    for name in set(names) - set(but):
        (folder / name).unlink(missing_ok=True)


def decided(lines: list[bytes]) -> int:
    return sum(b'"phase":"decision"' in line for line in lines)


def kept(lines: list[bytes]) -> Head | None:
    """The head as it was kept when the last round was decided."""
    if not decided(lines):
        return None
    last = max(i for i, line in enumerate(lines) if b'"phase":"decision"' in line)
    chain = Chain()
    for line in lines[: last + 1]:
        chain.take(line.rstrip(b"\n"), where="here")
    return Head(sha256=chain.head, records=last + 1)
