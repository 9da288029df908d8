"""The append-only record of an online run: one JSON line per record, fsynced, each naming the hash of the one before.

A line that the power cut in half can only be the last one; it is discarded, and said so. Anything else that
does not fit is a broken journal. Records hold no times: an interrupted run writes the journal that it would have
written without the interruption.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline_to_online.errors import RunError

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


class Journal:
    """The journal of one run, open for appending. One process writes it at a time (the robot's lock sees to that).

    Raises:
        RunError: the file is broken anywhere but in its last, torn line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = _discard_torn_line(path)
        self.records: list[Record] = []
        self.head = START
        for number, line in enumerate(whole, start=1):
            record = _parse(line, where=f"{path}:{number}")
            _demand_link(record, sequence=number, previous=self.head, where=f"{path}:{number}")
            self._take(record, line)

    def append(self, kind: str, data: Mapping[str, Any]) -> Record:
        """Add a record and wait until it is on the disk."""
        record = Record(sequence=len(self.records) + 1, previous=self.head, kind=kind, data=dict(data))
        line = record.line()
        with self.path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._take(record, line)
        return record

    def of(self, kind: str, **wanted: Any) -> list[Record]:
        """Records of a kind whose data holds what is wanted."""
        return [r for r in self.records if r.kind == kind and all(r.data.get(k) == v for k, v in wanted.items())]

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

    def _take(self, record: Record, line: bytes) -> None:
        self.records.append(record)
        self.head = hashlib.sha256(line).hexdigest()


def _discard_torn_line(path: Path) -> list[bytes]:
    content = path.read_bytes() if path.exists() else b""
    *whole, rest = content.split(b"\n")
    if rest:
        print(f"{path.name}: discarded a torn last line of {len(rest)} bytes", file=sys.stderr)
        with path.open("r+b") as file:
            file.truncate(len(content) - len(rest))
            os.fsync(file.fileno())
    return whole


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
