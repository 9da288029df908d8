"""The append-only record of an online run: one JSON line per record, fsynced, each naming the hash of the one before.

A line that the power cut in half can only be the last one; it is discarded, and said so. Anything else that
does not fit is a broken journal. Records hold no times: an interrupted run writes the journal that it would have
written without the interruption.

A record costs the same after ten thousand as after ten: records are found by what they hold, and a journal that this
process has read already is not read again, only what was appended to it since.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from offline_to_online.errors import RunError
from offline_to_online.online.recorded import settle

START = "0" * 64
KEYS = {"sequence", "previous", "kind", "data"}


@dataclass(frozen=True, kw_only=True)
class Record:
    """One line: its place, what kind of thing happened, and the facts."""

    sequence: int
    previous: str
    kind: str
    data: Mapping[str, Any]

    def line(self) -> bytes:
        """The line as it stands in the file, without its newline."""
        row = {"sequence": self.sequence, "previous": self.previous, "kind": self.kind, "data": self.data}
        return json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class Chain:
    """Records that each name the hash of the one before, found by what they hold."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.head = START
        self._kinds: dict[str, list[Record]] = {}
        self._found: dict[tuple[str, ...], dict[tuple[Any, ...], list[Record]]] = {}

    def of(self, kind: str, **wanted: Any) -> list[Record]:
        """Records of a kind whose data holds what is wanted, in order."""
        if not wanted:
            return list(self._kinds.get(kind, ()))
        fields = (kind, *sorted(wanted))
        if fields not in self._found:
            self._found[fields] = {}
            for record in self._kinds.get(kind, ()):
                self._file(fields, record)
        return list(self._found[fields].get(tuple(wanted[name] for name in fields[1:]), ()))

    def head_at(self, records: int) -> str:
        """SHA-256 of the line with that number, what ``head`` was then; "" where there are not so many."""
        if records == len(self.records):
            return self.head
        return self.records[records].previous if 0 <= records < len(self.records) else ""

    def take(self, line: bytes, *, where: str) -> Record:
        """Add a line as it stands in a file.

        Raises:
            RunError: it is no record, or not the one that comes next.
        """
        record = _parse(line, where=where)
        _demand_link(record, sequence=len(self.records) + 1, previous=self.head, where=where)
        self.add(record, line)
        return record

    def add(self, record: Record, line: bytes) -> None:
        """Add the record that comes next."""
        self.records.append(record)
        self.head = hashlib.sha256(line).hexdigest()
        self._kinds.setdefault(record.kind, []).append(record)
        for fields in self._found:
            if fields[0] == record.kind:
                self._file(fields, record)

    def _file(self, fields: tuple[str, ...], record: Record) -> None:
        key = tuple(record.data.get(name) for name in fields[1:])
        # What cannot be looked up (a list, a mapping) is never looked for.
        if all(value is None or isinstance(value, str | int | float) for value in key):
            self._found[fields].setdefault(key, []).append(record)


@dataclass(kw_only=True)
class _Read:
    """A journal as this process knows it: its records, the bytes that they take, and the hash of those bytes."""

    chain: Chain = field(default_factory=Chain)
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def take(self, line: bytes, *, where: str) -> None:
        """Add a whole line of the file."""
        self.chain.take(line, where=where)
        self.count(line)

    def count(self, line: bytes) -> None:
        """A line of the file is known."""
        self.digest.update(line + b"\n")
        self.size += len(line) + 1


_READ: dict[Path, _Read] = {}


class Journal:
    """The journal of one run, open for appending. One process writes it at a time (the robot's lock sees to that).

    Journals of one file in one process share what they know of it.

    Raises:
        RunError: the file is broken anywhere but in its last, torn line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._read = _follow(path)

    @property
    def records(self) -> Sequence[Record]:
        """All records, in order."""
        return self._read.chain.records

    @property
    def head(self) -> str:
        """SHA-256 of the last line: it stands for every record there is."""
        return self._read.chain.head

    def head_at(self, records: int) -> str:
        """SHA-256 of the line with that number, "" where there are not so many."""
        return self._read.chain.head_at(records)

    def append(self, kind: str, data: Mapping[str, Any]) -> Record:
        """Add a record and wait until it is on the disk.

        Raises:
            RunError: another process has changed the journal so that nothing can follow it.
            OSError: the disk is full, say; the journal is as it was.
        """
        if _size(self.path) != self._read.size:
            self._read = _follow(self.path)
        chain = self._read.chain
        record = Record(sequence=len(chain.records) + 1, previous=chain.head, kind=kind, data=dict(data))
        line = record.line()
        _write(self.path, line + b"\n", at=self._read.size)
        chain.add(record, line)
        self._read.count(line)
        return record

    def of(self, kind: str, **wanted: Any) -> list[Record]:
        """Records of a kind whose data holds what is wanted, in order."""
        return self._read.chain.of(kind, **wanted)

    def once(self, kind: str, key: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Add ``{**key, **facts}`` unless a record with this key stands there already, which must then say the same.

        Raises:
            RunError: it says something else: the run's folder was changed.
        """
        data = json.loads(json.dumps({**key, **facts}))
        found = self.of(kind, **key)
        if not found:
            self.append(kind, data)
        elif found[0].data != data:
            raise RunError(
                f"{kind} {dict(key)} no longer is what was recorded",
                where=f"{self.path}:{found[0].sequence}",
                limit="files of a run never change",
                remedy="restore the file, or start another run with --new",
            )


def split_lines(content: bytes) -> tuple[list[bytes], bytes]:
    """The whole lines of a journal, and what is left of a torn one."""
    *whole, rest = content.split(b"\n")
    return whole, rest


def _follow(path: Path) -> _Read:
    """What this process knows of a journal, after parsing what it does not know yet; all of it is hashed."""
    place, content = path.absolute(), path.read_bytes() if path.exists() else b""
    known = _READ.pop(place, None)
    if known is None or hashlib.sha256(content[: known.size]).digest() != known.digest.digest():
        known = _Read()
    whole, rest = split_lines(content[known.size :])
    for line in whole:
        known.take(line, where=f"{path}:{len(known.chain.records) + 1}")
    if rest:
        print(f"{path.name}: discarded a torn last line of {len(rest)} bytes", file=sys.stderr)
        _cut(path, known.size)
    _READ[place] = known
    return known


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _write(path: Path, content: bytes, *, at: int) -> None:
    fresh = at == 0 and not path.exists()
    try:
        with path.open("ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        # Half a line must not stand before the next one, should this process go on.
        if path.exists():
            _cut(path, at)
        raise
    if fresh:
        settle(path.parent)


def _cut(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def _parse(line: bytes, *, where: str) -> Record:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise _broken("no JSON", where) from error
    if not isinstance(row, dict) or set(row) != KEYS or not isinstance(row["data"], dict):
        raise _broken("no record", where)
    return Record(sequence=row["sequence"], previous=row["previous"], kind=row["kind"], data=row["data"])


def _demand_link(record: Record, *, sequence: int, previous: str, where: str) -> None:
    if record.sequence != sequence:
        raise _broken(f"sequence number {record.sequence} instead of {sequence}", where)
    if record.previous != previous:
        raise _broken("the record before it was changed", where)


def _broken(what: str, where: str) -> RunError:
    return RunError(
        f"broken journal: {what}",
        where=where,
        limit="only the last line may be torn",
        remedy="start another run with --new",
    )
