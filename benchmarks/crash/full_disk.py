"""A full disk: a file system of its own that is too small, where that can be had, else a limit on a file's size.

The file system is a tmpfs in a mount namespace of a process of its own, which needs no rights where user namespaces
are allowed. What filled it is removed, and the run goes on.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.crash.comparing import differences
from benchmarks.crash.killing import ended, forked
from benchmarks.crash.kills import last_words
from benchmarks.crash.small import play, workplace
from offline_to_online.dataset.files import read_json, write_json

NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000
SIZE_MIB = 512
# Room left, in MiB: less than a store needs, than an episode, than a registered model.
ROOMS = (0.2, 0.6, 1.2, 2.0, 3.0)
# A limit on a file's size stops the largest files only: MLflow's database, the learner.
LIMITS = (20_000, 200_000, 600_000)


def full_disk(folder: Path, handoff: Path, reference: Path, *, quick: bool = False) -> dict[str, Any]:
    """A run that meets a full disk again and again, at other places; how it halted, and what is not the same after."""
    folder.mkdir(parents=True)
    answer = folder / "answer.json"
    for way in (_own_disk, _limited_files):
        work = partial(way, folder / way.__name__.strip("_"), handoff, reference, answer, quick)
        status = ended(forked(work, said=folder / "said.txt"))
        if status == 0 and answer.is_file():
            return dict(read_json(answer))
    return {"kind": "disk full", "halts": [], "differences": [f"could not be tried: {last_words(folder)}"]}


def _own_disk(place: Path, handoff: Path, reference: Path, answer: Path, quick: bool) -> None:
    place.mkdir()
    _mount(place)
    work, ballast = workplace(place / "work", handoff), place / "ballast"
    # What it says must find room.
    said = answer.with_name("halted.txt")
    halts = [_halt(work, said, partial(_fill, ballast, place, room)) for room in (ROOMS[1:2] if quick else ROOMS)]
    ballast.unlink(missing_ok=True)
    _end(work, reference, answer, halts, how=f"a tmpfs of {SIZE_MIB} MiB, filled up")


def _limited_files(place: Path, handoff: Path, reference: Path, answer: Path, quick: bool) -> None:
    work = workplace(place, handoff)
    said = answer.with_name("halted.txt")
    halts = [_halt(work, said, partial(_limit, limit)) for limit in (LIMITS[1:2] if quick else LIMITS)]
    _end(work, reference, answer, halts, how="RLIMIT_FSIZE: no user namespaces here")


def _end(work: Path, reference: Path, answer: Path, halts: list[dict[str, Any]], *, how: str) -> None:
    status = ended(forked(lambda: play(work), said=work / "said.txt"))
    wrong = [f"ended with {status}: {last_words(work)}"] if status else differences(work, reference)
    write_json(answer, {"kind": f"disk full ({how})", "halts": halts, "differences": wrong})


def _halt(work: Path, said: Path, prepare: Callable[[], None]) -> dict[str, Any]:
    """Go on with the run on a disk that is prepared so; how it ended, and what it said."""
    said.unlink(missing_ok=True)

    def life() -> None:
        prepare()
        play(work)

    status = ended(forked(life, said=said))
    lines = [line for line in said.read_text(encoding="utf-8").splitlines() if line.startswith("error: ")]
    clear = (status == 2 and len(lines) == 1 and "Traceback" not in said.read_text(encoding="utf-8")) or status == 0
    return {
        "status": status,
        "said": lines[-1][:200] if lines else said.read_text(encoding="utf-8")[-200:],
        "clear": clear,
    }


def _fill(ballast: Path, place: Path, room_mib: float) -> None:
    """Fill the disk up to so much room."""
    ballast.unlink(missing_ok=True)
    free = shutil.disk_usage(place).free - int(room_mib * 2**20)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free))


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _mount(place: Path) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if library.unshare(NEW_USER | NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    if library.mount(b"tmpfs", bytes(place), b"tmpfs", 0, f"size={SIZE_MIB}m".encode()):
        raise OSError(ctypes.get_errno(), "mount")
