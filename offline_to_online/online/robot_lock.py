"""One robot, one run: an operating system's lock that a crash releases by itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from offline_to_online.errors import RobotError

if TYPE_CHECKING:
    from filelock import BaseFileLock

# A run holds its robot for minutes; whoever only looks whether it is free, for less than this.
PATIENCE_S = 0.5


@contextmanager
def robot_held(folder: Path, robot: str, run: str) -> Iterator[None]:
    """Hold the robot for a run while the block lasts. ``folder`` keeps the lock files.

    Raises:
        RobotError: another run holds it; the message names that run and its process.
    """
    lock = _acquired(folder, robot)
    try:
        holder = json.dumps({"run": run, "pid": os.getpid()}, sort_keys=True) + "\n"
        (folder / f"{robot}.json").write_text(holder, encoding="utf-8")
        yield
    finally:
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


def _named(holder: Path) -> str:
    try:
        row = json.loads(holder.read_text(encoding="utf-8"))
        return f"run {row['run']!r} (process {row['pid']})"
    except (OSError, ValueError, KeyError):
        return "another run"
