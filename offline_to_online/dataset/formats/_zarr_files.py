"""The files of a Zarr store, in a folder or in a zip: looked up and read without following anything out of it."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from offline_to_online.dataset.formats._own_files import own
from offline_to_online.errors import DataError

# What a damaged file of a store raises, in reading it and in decompressing what was read.
BROKEN = (OSError, RuntimeError, ValueError, TypeError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)
HEADER_BYTES = 2**20  # a header beyond this is none


class Files(Protocol):
    """Files by their name below the root of the store (``data/action/0.0``)."""

    path: Path

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is no such file."""

    def read(self, name: str, limit: int) -> bytes:
        """A file's bytes, ``limit`` of them at most."""

    def inside(self, folder: str) -> list[str]:
        """Names of what lies directly in a folder, metadata aside, sorted."""


class FolderFiles:
    """A store that is a folder. Nothing in it may lead out of it.

    Raises:
        DataError: (all methods) a link on the way leads out of the store, or the system cannot read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is no such file."""
        with reading(self.path, name):
            place = self._place(name)
            return place.stat().st_size if place.is_file() else None

    def read(self, name: str, limit: int) -> bytes:
        """A file's bytes, ``limit`` of them at most."""
        with reading(self.path, name), self._place(name).open("rb") as stream:
            return stream.read(limit)

    def inside(self, folder: str) -> list[str]:
        """Names of what lies directly in a folder, metadata aside, sorted; nothing where there is no folder."""
        with reading(self.path, folder):
            place = self._place(folder)
            return sorted(e.name for e in place.iterdir() if e.name[0] != ".") if place.is_dir() else []

    def _place(self, name: str) -> Path:
        return own(self.path / name, self.path)


class ZipFiles:
    """A store that is one zip file.

    Raises:
        DataError: (all methods) the file is missing or damaged.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self.archive = path, archive

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return {info.filename: info.file_size for info in self.archive.infolist() if not info.is_dir()}

    @cached_property
    def _folders(self) -> dict[str, list[str]]:
        folders: dict[str, set[str]] = {}
        for name in self._sizes:
            parts = PurePosixPath(name).parts
            for depth, part in enumerate(parts):
                folders.setdefault("/".join(parts[:depth]), set()).add(part)
        return {folder: sorted(n for n in names if n[0] != ".") for folder, names in folders.items()}

    def size(self, name: str) -> int | None:
        """Bytes of a file before it was packed; None where there is no such file."""
        return self._sizes.get(name)

    def read(self, name: str, limit: int) -> bytes:
        """A file's bytes, ``limit`` of them at most."""
        with reading(self.path, name), self.archive.open(name) as stream:
            return stream.read(limit)

    def inside(self, folder: str) -> list[str]:
        """Names of what lies directly in a folder, metadata aside, sorted; nothing where there is no folder."""
        return self._folders.get(folder, [])


@contextmanager
def opened(path: Path) -> Iterator[Files]:
    """The files of a store.

    Raises:
        DataError: it is neither a folder nor a whole zip file.
    """
    if path.is_dir():
        yield FolderFiles(path)
        return
    with reading(path, ""):
        archive = zipfile.ZipFile(path)
    with archive:
        yield ZipFiles(path, archive)


@contextmanager
def reading(path: Path, name: str) -> Iterator[None]:
    """Calls of the system, of zipfile and of numcodecs alone, so that whatever they raise is about the store.

    Raises:
        DataError: this part of the store cannot be read.
    """
    try:
        yield
    except BROKEN as error:
        raise DataError(
            f"not readable as a Zarr store: {error or type(error).__name__}",
            where=f"{path}, {name}" if name else str(path),
            limit="a whole store",
            remedy="copy or record it again",
        ) from error


def header(files: Files, name: str) -> dict[str, Any]:
    """A JSON object of the store's metadata.

    Raises:
        DataError: it is missing, or no JSON object.
    """
    text = files.read(name, HEADER_BYTES)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_header(files, name, str(error)) from error
    if not isinstance(value, dict):
        raise _no_header(files, name, f"it is a {type(value).__name__}")
    return value


def _no_header(files: Files, name: str, why: str) -> DataError:
    return DataError(
        f"not readable as JSON: {why}",
        where=f"{files.path}, {name}",
        limit="a JSON object",
        remedy="copy the store again",
    )
