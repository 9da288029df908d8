"""One robot, one run: an operating system's lock that a crash releases by itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offline_to_online.errors import RobotError


@contextmanager
def robot_held(folder: Path, robot: str, run: str) -> Iterator[None]:
    """Hold the robot for a run while the block lasts. ``folder`` keeps the lock files.

    Raises:
        RobotError: another run holds it; the message names that run and its process.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{robot}.lock", thread_local=False)
    holder = folder / f"{robot}.json"
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RobotError(
            f"robot {robot!r} is in use by {_named(holder)}",
            where=str(lock.lock_file),
            limit="one run on a robot at a time",
            remedy="wait for it to finish, or stop it",
        ) from error
    try:
        holder.write_text(json.dumps({"run": run, "pid": os.getpid()}, sort_keys=True) + "\n", encoding="utf-8")
        yield
    finally:
        lock.release()


def _named(holder: Path) -> str:
    try:
        row = json.loads(holder.read_text(encoding="utf-8"))
        return f"run {row['run']!r} (process {row['pid']})"
    except (OSError, ValueError, KeyError):
        return "another run"
