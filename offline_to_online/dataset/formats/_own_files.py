"""What belongs to a data set that is a folder: the files in it, and nothing that a link brings in from elsewhere."""

from __future__ import annotations

from pathlib import Path

from offline_to_online.errors import DataError


def own(path: Path, root: Path) -> Path:
    """A path below the data set's folder, once it is known that it stays there. The folder itself may be a link.

    A link from one place in the folder to another is followed: the bytes that it leads to are part of the folder's
    hash. Which folder a link to a folder leads to is not, so that turning it to another one within goes unnoticed.

    Raises:
        DataError: a link on the way leads out of the folder, or leads nowhere because it leads to itself.
    """
    if _stays(path, root):
        return path
    way = [p for p in (*reversed(path.parents), path) if p.is_relative_to(root) and p != root]
    first = next((p for p in way if not _stays(p, root)), path)
    raise DataError(
        f"{first.relative_to(root) if first.is_relative_to(root) else first} is a link to elsewhere",
        where=str(path),
        limit="the data lies in its own folder, so that its hash covers it",
        remedy="a download cache holds links: `cp -rL` makes a copy that holds the files",
    )


def _stays(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a name that no file can have
        return False
