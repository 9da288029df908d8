"""Whether the files that were found are those that the manifest describes."""

from __future__ import annotations

from pathlib import Path

from offline_to_online.dataset.fields import nearest
from offline_to_online.dataset.files import file_sha256
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.errors import ManifestError


def verify_hashes(path: Path, manifest: Manifest) -> dict[str, str]:
    """Hold the data's files against the manifest; file name to SHA-256 of what lies at ``path``.

    Raises:
        ManifestError: a file is not named, or its hash is not the one that the manifest gives.
    """
    if manifest.recorded:
        return {path.name: file_sha256(path)} if path.is_file() else {}
    if path.is_file() and path.name not in manifest.hashes:
        raise ManifestError(
            f"the manifest gives no hash of {path.name}",
            where=f"manifest {manifest.name}, hashes",
            limit=f"it names {', '.join(sorted(manifest.hashes))}",
            remedy=nearest(path.name, manifest.hashes) or "add the file's SHA-256",
        )
    wanted = [path.name] if path.is_file() else sorted(manifest.hashes)
    found = {name: file_sha256(path if path.is_file() else path / name) for name in wanted}
    for name, value in found.items():
        if value != manifest.hashes[name]:
            raise ManifestError(
                f"{name} is not the file that the manifest describes: found {value}",
                where=f"manifest {manifest.name}, hashes",
                limit=f"expected {manifest.hashes[name]}",
                remedy="restore the file, or review it and update its hash",
            )
    return found
