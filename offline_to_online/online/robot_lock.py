"""One robot, one run: an operating system's lock that a crash releases by itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Any

from offline_to_online.dataset.files import write_json
from offline_to_online.errors import RobotError

if TYPE_CHECKING:
    from filelock import BaseFileLock

# A run holds its robot for minutes; whoever only looks whether it is free, for less than this.
PATIENCE_S = 0.5
# The clock may have been set meanwhile.
CLOCK_S = 5.0


@contextmanager
def robot_held(folder: Path, robot: str, run: str) -> Iterator[None]:
    """Hold the robot for a run while the block lasts, a pause for a person's answer included.

    ``folder`` keeps the lock files. The operating system's lock decides, never the file that names its holder: a
    process that is gone holds nothing, however it ended.

    Raises:
        RobotError: another run holds it; the message names that run, its process, its host and since when.
    """
    lock = _acquired(folder, robot)
    named = folder / f"{robot}.json"
    try:
        write_json(named, _me(run))
        yield
    finally:
        named.unlink(missing_ok=True)
        lock.release()


def demand_free(folder: Path, robot: str) -> None:
    """Refuse a robot that a run holds, before a server is started or anything written for another run.

    Raises:
        RobotError: as ``robot_held``.
    """
    _acquired(folder, robot).release()


def _acquired(folder: Path, robot: str) -> BaseFileLock:
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{robot}.lock", thread_local=False)
    try:
        lock.acquire(timeout=PATIENCE_S)
    except Timeout as error:
        raise RobotError(
            f"robot {robot!r} is in use by {_named(folder / f'{robot}.json')}",
            where=str(lock.lock_file),
            limit="one run on a robot at a time",
            remedy="wait for it to finish, or stop it",
        ) from error
    return lock


def _me(run: str) -> dict[str, Any]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"run": run, "pid": os.getpid(), "host": gethostname(), "since": since, "started": _started(os.getpid())}


def _named(holder: Path) -> str:
    """Who holds the robot; a name that a killed process left behind is not the holder's."""
    try:
        row = json.loads(holder.read_text(encoding="utf-8"))
        said = f"run {row['run']!r} (process {row['pid']} on {row['host']}, since {row['since']})"
        gone = row["host"] == gethostname() and not _lives(int(row["pid"]), float(row["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"
    return "another run" if gone else said


def _lives(pid: int, started: float) -> bool:
    now = _started(pid)
    return now is not None and abs(now - started) < CLOCK_S


def _started(pid: int) -> float | None:
    """When a process began, which tells it from a later one with its number; None where there is none."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
