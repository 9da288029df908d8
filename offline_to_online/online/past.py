"""A run as it was just before one of its records: to ask again what was decided then, by nothing that came later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from offline_to_online.errors import RunError
from offline_to_online.evaluation.handoff import load_handoff
from offline_to_online.online.journal import Chain, Journal, Record
from offline_to_online.online.run import OnlineRun, facts_of


class PastJournal(Journal):
    """The records before one, of a chain that was read already; nothing is added to it.

    Args:
        path: the file that they stand in.
        chain: all records.
        before: the sequence number of the first that is not there yet.
    """

    def __init__(self, path: Path, chain: Chain, before: int) -> None:
        self.path, self._chain, self._before = path, chain, before

    @property
    def records(self) -> Sequence[Record]:
        """The records before it, in order."""
        return self._chain.records[: self._before - 1]

    @property
    def head(self) -> str:
        """SHA-256 of the last line before it."""
        return self._chain.head_at(self._before - 1)

    def head_at(self, records: int) -> str:
        """As of a journal."""
        return self._chain.head_at(records) if records < self._before else ""

    def of(self, kind: str, **wanted: Any) -> list[Record]:
        """As of a journal."""
        return [record for record in self._chain.of(kind, **wanted) if record.sequence < self._before]

    def append(self, kind: str, data: Mapping[str, Any]) -> Record:
        """Refuse.

        Raises:
            RunError: what is asked for is not on record.
        """
        said = " ".join(f"{key} {data[key]}" for key in ("round", "phase", "index", "file") if key in data)
        raise RunError(f"{kind} {said} is not on record", where=self.path.name, limit="before what relies on it")


class PastRun(OnlineRun):
    """A run after all its records, or, by ``at``, before one of them. It moves no robot and writes nothing.

    Args:
        folder: of the run.
        chain: its records.

    Raises:
        RunError: settings that this version does not know.
        HandoffError: the run's copy of its handoff was changed.
    """

    moves = False

    def __init__(self, folder: Path, chain: Chain) -> None:
        self.folder, self._chain = folder, chain
        self.facts, self.config = facts_of(folder)
        self.handoff = load_handoff(folder / "handoff")
        self.journal = PastJournal(folder / "journal.jsonl", chain, len(chain.records) + 1)

    def at(self, sequence: int) -> PastRun:
        """The run as it was before the record with that number."""
        earlier = copy(self)
        earlier.journal = PastJournal(self.journal.path, self._chain, sequence)
        return earlier

    def result(self, number: int, name: str) -> dict[str, Any] | None:
        """What a phase had said, or None where it was not on record."""
        return super().result(number, name) if self.journal.of("phase", round=number, phase=name) else None
