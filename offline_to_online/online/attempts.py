"""What was tried, beside what happened: motions of the robot that were begun, and what a killed process left behind.

``attempts.jsonl`` lies beside the journal and is none of the truth: it may differ between a run that was killed and one
that was not, no hash covers it, and no result is made of it. It is there so that nobody's robot moves twice under the
same key without being told.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from offline_to_online.errors import RunError
from offline_to_online.online.recorded import PARTIAL
from offline_to_online.online.run import OnlineRun

FILE = "attempts.jsonl"
BEGUN, DONE, CUT_SHORT = "begun", "done", "cut short"


@contextmanager
def motion(run: OnlineRun, key: str) -> Iterator[None]:
    """Stand around a motion of the robot: written down before it begins, and once it is done and kept.

    What was begun under the same key and not finished is repeated, and that is said on stderr and written down.

    Args:
        run: whose motion it is.
        key: what is moved for, the same in every attempt: ``"collect episode 7"``.

    Raises:
        RunError: the run was opened to be looked at (``run.moves``).
    """
    if not run.moves:
        raise RunError(f"{key} is not on record", where=str(run.folder), limit="a run that is looked at moves no robot")
    attempts = _attempts(run.folder / FILE)
    before = attempts.unfinished.get(key, 0)
    attempts.note(key, BEGUN, attempt=before + 1)
    if before:
        print(
            f"{run.name}: {key} was begun {_times(before)} and not finished; the robot repeats it",
            file=sys.stderr,
        )
    try:
        yield
    except BaseException as error:
        attempts.note(key, CUT_SHORT, why=type(error).__name__)
        raise
    attempts.note(key, DONE)


def unfinished(folder: Path) -> dict[str, int]:
    """Motions of a run that were begun and never finished, and how often."""
    return dict(_attempts(folder / FILE).unfinished)


def sweep(folder: Path) -> list[str]:
    """Delete what a killed process of ours had not finished writing; the names. Say so on stderr.

    To be called while the robot is held, so that nobody is writing.
    """
    left = sorted(path for path in folder.rglob(f".*{PARTIAL}") if path.is_file())
    for path in left:
        path.unlink(missing_ok=True)
    if left:
        print(f"{folder.name}: discarded {len(left)} unfinished file(s) of a killed process", file=sys.stderr)
    return [path.relative_to(folder).as_posix() for path in left]


@dataclass(kw_only=True)
class _Attempts:
    """One file of attempts, as far as this process has read it."""

    path: Path
    size: int = 0
    unfinished: dict[str, int] = field(default_factory=dict)

    def note(self, key: str, state: str, **facts: Any) -> None:
        """Add a line; it is on the disk before a robot moves."""
        row = {"motion": key, "state": state, "process": os.getpid(), "at": datetime.now(UTC).isoformat(), **facts}
        line = json.dumps(row).encode() + b"\n"
        with self.path.open("ab") as file:
            # A line that was cut in half stays cut; the next one does not hang on it.
            file.write(line if self._whole() else b"\n" + line)
            file.flush()
            if state == BEGUN:
                os.fsync(file.fileno())
        self.read()

    def read(self) -> None:
        """Take in what was added since the last time."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.size)
            content = file.read()
        lines, end = content.split(b"\n")[:-1], content.rfind(b"\n") + 1
        self.size += end
        for line in lines:
            self._count(_row(line))

    def _count(self, row: Mapping[str, Any]) -> None:
        key, state = str(row.get("motion", "")), row.get("state")
        if state == BEGUN:
            self.unfinished[key] = self.unfinished.get(key, 0) + 1
        elif state == DONE:
            self.unfinished.pop(key, None)

    def _whole(self) -> bool:
        return not self.path.exists() or self.path.stat().st_size == self.size


_KNOWN: dict[Path, _Attempts] = {}


def _attempts(path: Path) -> _Attempts:
    place = path.absolute()
    known = _KNOWN.get(place)
    if known is None or not path.exists() or path.stat().st_size < known.size:
        known = _KNOWN[place] = _Attempts(path=path)
    known.read()
    return known


def _row(line: bytes) -> Mapping[str, Any]:
    """A line's content; a line that was cut in half says nothing."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
