"""The journal: append-only, chained, and torn in its last line at most."""

from __future__ import annotations

import json
import resource
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_to_online.errors import RunError
from offline_to_online.online.journal import START, Journal, Record

FACTS = st.dictionaries(
    st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text(max_size=8), max_size=4
)


def written(path: Path, count: int = 3) -> Journal:
    journal = Journal(path)
    for i in range(count):
        journal.append("episode", {"index": i, "text": "ü\n"})
    return journal


@settings(deadline=None, max_examples=30)
@given(st.lists(FACTS, max_size=6))
def test_what_was_appended_is_read(facts: list[dict[str, object]]) -> None:
    """Records come back in order, numbered from 1, each with the hash of the one before."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        journal = Journal(path)
        for data in facts:
            journal.append("fact", data)
        again = Journal(path)
    assert [r.data for r in again.records] == facts
    assert [r.sequence for r in again.records] == list(range(1, len(facts) + 1))
    assert again.head == journal.head
    assert all(r.previous == START for r in again.records[:1])


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_journal_cut_anywhere_keeps_its_whole_lines(data: st.DataObject) -> None:
    """Whatever byte the power went off at, whole lines are read, a torn one is dropped, and writing goes on."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        written(path)
        content = path.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        path.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        journal = Journal(path)
        assert len(journal.records) == whole
        for i in range(whole, 3):
            journal.append("episode", {"index": i, "text": "ü\n"})
        assert path.read_bytes() == content


def test_a_torn_line_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The person is told that a torn last line was discarded."""
    written(tmp_path / "journal.jsonl")
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"sequence": 4')
    Journal(tmp_path / "journal.jsonl")
    assert "torn last line" in capsys.readouterr().err


@pytest.mark.parametrize("line", [0, 1])
@pytest.mark.parametrize("change", ["garbage", "data", "drop", "swap"])
def test_anything_else_that_is_broken_is_refused(tmp_path: Path, line: int, change: str) -> None:
    """A changed, dropped or swapped record is refused with its line, and the file is left as it is."""
    path = tmp_path / "journal.jsonl"
    written(path)
    lines = path.read_bytes().splitlines(keepends=True)
    match change:
        case "garbage":
            lines[line] = b"not json\n"
        case "data":
            lines[line] = lines[line].replace(b'"index":', b'"indes":')
        case "drop":
            del lines[line]
        case "swap":
            lines[line], lines[line + 1] = lines[line + 1], lines[line]
    path.write_bytes(b"".join(lines))
    before = path.read_bytes()
    with pytest.raises(RunError, match=r"journal\.jsonl:\d"):
        Journal(path)
    assert path.read_bytes() == before


def test_once_writes_once_and_refuses_another_story(tmp_path: Path) -> None:
    """The same fact told again changes nothing; another fact under the same key is an error."""
    journal = Journal(tmp_path / "journal.jsonl")
    for _ in range(2):
        journal.once("done", {"round": 1, "phase": "collect"}, {"sha256": "a"})
    assert len(journal.records) == 1
    with pytest.raises(RunError, match="no longer is what was recorded"):
        journal.once("done", {"round": 1, "phase": "collect"}, {"sha256": "b"})


def test_records_hold_no_time(tmp_path: Path) -> None:
    """Two journals of the same facts are the same bytes."""
    paths = [tmp_path / f"{i}.jsonl" for i in range(2)]
    for path in paths:
        written(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert set(json.loads(paths[0].read_bytes().splitlines()[0])) == {"sequence", "previous", "kind", "data"}


def test_records_are_found_by_what_they_hold(tmp_path: Path) -> None:
    """As a scan would find them, those too that were appended after the first look, and what is no key at all."""
    journal = Journal(tmp_path / "journal.jsonl")
    rows = [{"index": i % 3, "even": i % 2 == 0, "list": [i]} for i in range(9)]
    for row in rows[:5]:
        journal.append("episode", row)
    assert [r.data for r in journal.of("episode", index=1)] == [row for row in rows[:5] if row["index"] == 1]
    for row in rows[5:]:
        journal.append("episode", row)
        journal.append("other", row)
    for wanted in ({"index": 2}, {"index": 0, "even": True}, {"even": False}, {"nothing": None}, {"index": 7}):
        expected = [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]
        assert [r.data for r in journal.of("episode", **wanted)] == expected
    assert [r.data for r in journal.of("other")] == rows[5:]


def test_what_another_process_appended_is_taken_in(tmp_path: Path) -> None:
    """Whoever has the journal open goes on after what was added to the file meanwhile."""
    journal = written(tmp_path / "journal.jsonl")
    lines = (tmp_path / "journal.jsonl").read_bytes()
    fourth = Record(sequence=4, previous=journal.head, kind="decision", data={}).line()
    (tmp_path / "journal.jsonl").write_bytes(lines + fourth + b"\n")
    assert journal.append("episode", {"index": 3}).sequence == 5
    assert len(Journal(tmp_path / "journal.jsonl").of("decision")) == 1


def test_a_journal_that_was_changed_behind_an_open_one_is_refused(tmp_path: Path) -> None:
    """Known or not, the bytes are hashed again whenever a journal is opened, even where their number is the same."""
    path = tmp_path / "journal.jsonl"
    written(path)
    path.write_bytes(path.read_bytes().replace(b'"index":1', b'"index":7'))
    with pytest.raises(RunError, match=r"journal\.jsonl:3"):
        Journal(path)


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    """Half a line that could not be written does not stand before the next one."""
    path = tmp_path / "journal.jsonl"
    journal, before = written(path), (tmp_path / "journal.jsonl").read_bytes()
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, former[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            journal.append("episode", {"index": 3, "text": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert path.read_bytes() == before
    assert journal.append("episode", {"index": 3}).sequence == 4
    assert len(Journal(path).records) == 4


def test_the_head_at_any_record_is_known(tmp_path: Path) -> None:
    """What the head was after so many records; nothing where there are fewer."""
    path, heads = tmp_path / "journal.jsonl", [START]
    journal = Journal(path)
    for i in range(3):
        journal.append("episode", {"index": i})
        heads.append(journal.head)
    assert [journal.head_at(i) for i in range(5)] == [*heads, ""]
