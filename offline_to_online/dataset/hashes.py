"""Whether the files that were found are those that the manifest describes."""

from __future__ import annotations

import os
from pathlib import Path

from offline_to_online.dataset.fields import nearest
from offline_to_online.dataset.files import file_sha256, folder_sha256
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.errors import ManifestError

# What file browsers and download tools leave beside the data, and no format reads.
LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", ".cache", ".git", "__pycache__"})


def verify_hashes(path: Path, manifest: Manifest) -> dict[str, str]:
    """Hold the data's files against the manifest; file name to SHA-256 of what lies at ``path``.

    Raises:
        ManifestError: a file is not named, or its hash is not the one that the manifest gives.
    """
    name = source_name(path)
    if manifest.recorded:
        return {name: file_sha256(path)} if path.is_file() else {}
    if path.is_dir() and name in manifest.hashes:
        found = {name: source_sha256(path)}
        _require_equal(found, manifest)
        return found
    if path.is_file() and name not in manifest.hashes:
        raise ManifestError(
            f"the manifest gives no hash of {name}",
            where=f"manifest {manifest.name}, hashes",
            limit=f"it names {', '.join(sorted(manifest.hashes))}",
            remedy=nearest(name, manifest.hashes) or "add the file's SHA-256",
        )
    wanted = [name] if path.is_file() else sorted(manifest.hashes)
    found = {name: file_sha256(path if path.is_file() else path / name) for name in wanted}
    _require_equal(found, manifest)
    return found


def source_name(path: Path) -> str:
    """What a manifest calls a data set under ``hashes``: its last name, that of the link where it is one."""
    return Path(os.path.abspath(path)).name


def source_sha256(path: Path) -> str:
    """SHA-256 of a data set as a manifest gives it: of the file, or of a folder's names and contents but for litter."""
    return file_sha256(path) if path.is_file() else folder_sha256(path, ignored=LITTER)


def _require_equal(found: dict[str, str], manifest: Manifest) -> None:
    for name, value in found.items():
        if value != manifest.hashes[name]:
            raise ManifestError(
                f"{name} is not the file that the manifest describes: found {value}",
                where=f"manifest {manifest.name}, hashes",
                limit=f"expected {manifest.hashes[name]}",
                remedy="restore the file, or review it and update its hash",
            )
