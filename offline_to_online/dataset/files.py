"""Files as this project writes and trusts them: whole or not at all, byte for byte the same, known by hash."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offline_to_online.errors import DataError

PICKLE_SUFFIXES = frozenset({".pickle", ".pkl", ".pck"})


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling to write to; it becomes ``path`` when the block ends well, else it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def json_bytes(value: Any) -> bytes:
    """Canonical JSON: sorted keys, indented by 2, a trailing newline. NaN and infinity are no JSON.

    Raises:
        DataError: the value holds a number that is not finite.
    """
    try:
        return (json.dumps(value, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()
    except ValueError as error:
        raise DataError("a value is not finite and cannot be written as JSON", limit=str(error)) from error


def write_json(path: Path, value: Any) -> None:
    """Write canonical JSON to ``path`` in one step.

    Raises:
        DataError: the value holds a number that is not finite.
    """
    content = json_bytes(value)
    with replacing(path) as partial:
        partial.write_bytes(content)


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        DataError: the file is missing, or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError("no such file", where=str(path), remedy="run the stage that writes it") from error
    except (OSError, ValueError) as error:
        raise DataError(f"not readable as JSON: {error}", where=str(path), remedy="write it anew") from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read the file: {error.strerror}", where=str(path), remedy="check its path") from error


def folder_sha256(folder: Path, *, ignored: frozenset[str] = frozenset()) -> str:
    """SHA-256 over the sorted relative names and contents of all files below a folder.

    Args:
        folder: the folder.
        ignored: names of files and of folders that do not count, wherever they lie.

    Raises:
        DataError: it is no folder.
    """
    if not folder.is_dir():
        raise DataError("no such folder", where=str(folder), remedy="run the stage that writes it")
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if not ignored.intersection(p.relative_to(folder).parts)):
        name = path.relative_to(folder).as_posix()
        if path.is_file():
            digest.update(f"{name}\0{file_sha256(path)}\n".encode())
        elif path.is_symlink():  # to a folder, whose files are not walked from here: where it leads is content too
            digest.update(f"{name}\0-> {os.readlink(path)}\n".encode())
    return digest.hexdigest()


def require_readable(path: Path) -> None:
    """Refuse what is not there, and what only unpickling could open.

    Raises:
        DataError: no such file, or a pickle. A pickle runs code when it is opened, so none ever is.
    """
    if not path.exists():
        limit = "a file or folder of logged episodes"
        raise DataError(
            "no such data", where=str(path), limit=limit, remedy="check the path (dataset.path in params.yaml)"
        )
    if path.is_file() and _is_pickle(path):
        raise DataError(
            "this is a pickle, and opening one runs the code in it",
            where=str(path),
            limit="pickles are never opened here",
            remedy="convert it to D4RL-layout HDF5 where you trust it",
        )


def _is_pickle(path: Path) -> bool:
    if path.suffix.lower() in PICKLE_SUFFIXES:
        return True
    with path.open("rb") as stream:
        start = stream.read(2)
        stream.seek(max(0, path.stat().st_size - 1))
        # Protocols 2 to 5 begin with PROTO and its number; every pickle ends with STOP.
        return len(start) == 2 and start[0] == 0x80 and start[1] in range(2, 6) and stream.read(1) == b"."
