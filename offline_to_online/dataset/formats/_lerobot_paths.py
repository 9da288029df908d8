"""Paths that a LeRobotDataset names. They are a stranger's strings, and never lead out of the data set's folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from offline_to_online.dataset.formats._own_files import own
from offline_to_online.errors import DataError

EPISODE_FILES = ("episode_chunk", "episode_index")
CHUNKED = ("chunk_index", "file_index")
# Only names and zero-padded widths are understood: str.format would also look up attributes, or fill memory.
FIELD = re.compile(r"\{([a-z_]+)(?::0(\d)d)?\}")


def require_template(template: Any, fields: Sequence[str], needed: Sequence[str], *, where: str) -> str:
    """The template, once it is known to stay inside the folder and to use these fields, the needed ones among them.

    Raises:
        DataError: it is no text, absolute, climbs with ``..``, or holds a field that is not known or lacks one.
    """
    if not isinstance(template, str) or "\0" in template:
        raise DataError(f"the path is {template!r}", where=where, limit="a path with fields", remedy="restore the file")
    used = {name for name, _ in FIELD.findall(template)}
    if not used <= set(fields) or not used >= set(needed) or re.search(r"[{}]", FIELD.sub("", template)):
        raise DataError(
            f"the path {template!r} lacks a field, or has one that is not known",
            where=where,
            limit=f"the fields {', '.join(fields)}, padded as in :03d",
            remedy="mend the path",
        )
    _require_relative(template, where=where)
    return template


def fill(template: str, **values: int | str) -> str:
    """The path of a template whose fields are all given."""
    return FIELD.sub(lambda field: str(values[field[1]]).zfill(int(field[2] or 0)), template)


def inside(root: Path, name: str) -> Path:
    """A path below the data set's folder.

    Raises:
        DataError: it is absolute, climbs out with ``..``, or a link on the way leads out.
    """
    _require_relative(name, where=str(root))
    return own(root / name, root)


def is_file(root: Path, name: str) -> bool:
    """Whether there is such a file below the data set's folder.

    Raises:
        DataError: as ``inside``.
    """
    path = inside(root, name)
    try:
        return path.is_file()
    except OSError:  # a name that is too long, or a folder that may not be entered
        return False


def matching(root: Path, template: str) -> tuple[list[tuple[dict[str, int], str]], list[str]]:
    """Parquet files on disk: those that a template names, with its fields, in their order; and all others beside them.

    Names are relative to ``root``; folders that are links are not entered.
    """
    pattern = re.compile(_expression(template))
    first = PurePosixPath(template).parts[0]
    found: list[tuple[dict[str, int], str]] = []
    others: list[str] = []
    for path in sorted((root if "{" in first else root / first).rglob("*.parquet")):
        name = path.relative_to(root).as_posix()
        match = pattern.fullmatch(name)
        numbers = {key: int(value) for key, value in match.groupdict().items()} if match else {}
        if match and fill(template, **numbers) == name:
            found.append((numbers, name))
        else:
            others.append(name)
    return sorted(found, key=lambda item: sorted(item[0].items())), others


def _expression(template: str) -> str:
    parts: list[str] = []
    seen: set[str] = set()
    end = 0
    for field in FIELD.finditer(template):
        parts.append(re.escape(template[end : field.start()]))
        parts.append(rf"(?P={field[1]})" if field[1] in seen else rf"(?P<{field[1]}>[0-9]{{1,12}})")
        seen.add(field[1])
        end = field.end()
    return "".join(parts) + re.escape(template[end:])


def _require_relative(name: str, *, where: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise DataError(
            f"the path {name!r} leads out of the data set",
            where=where,
            limit="a relative path inside the data set's folder",
            remedy="mend the path, and ask whoever made this data set why it looks elsewhere",
        )
