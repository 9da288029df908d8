"""Files that a record of the journal rests on: on the disk before it is written, by hash, and never changed after."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from offline_to_online.dataset.files import file_sha256, read_json

# As ``dataset.files.replacing`` names what it has not finished writing.
PARTIAL = ".partial"
_Stamp = tuple[int, int, int]
_READ: dict[Path, tuple[_Stamp, Mapping[str, Any]]] = {}


def settled_sha256(path: Path) -> str:
    """SHA-256 of a file that is on the disk, name and all, when this returns: what a record may rest on.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    found = file_sha256(path)
    settle(path)
    settle(path.parent)
    return found


def settled_files(folder: Path, root: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by path from ``root`` and settled; nothing where there is no folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != PARTIAL)
    return {path.relative_to(root).as_posix(): settled_sha256(path) for path in files}


def settle(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def recorded_json(path: Path) -> dict[str, Any]:
    """What a JSON file holds that is written once, parsed once in a process; to be read, not to be changed.

    Raises:
        DataError: the file is missing, or is no JSON.
    """
    found = path.stat()
    stamp = found.st_ino, found.st_size, found.st_mtime_ns
    known = _READ.get(path)
    if known is None or known[0] != stamp:
        known = _READ[path] = stamp, read_json(path)
    return dict(known[1])
