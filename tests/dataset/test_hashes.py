"""Whether what was found is what the manifest describes: a file, files in a folder, or a folder as a whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from offline_to_online.dataset.files import file_sha256, folder_sha256
from offline_to_online.dataset.hashes import source_name, source_sha256, verify_hashes
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.errors import DataError, ManifestError

Make = Callable[..., Manifest]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of two files, one of them deeper."""
    (tmp_path / "log" / "data").mkdir(parents=True)
    (tmp_path / "log" / "info.json").write_text("{}")
    (tmp_path / "log" / "data" / "0.bin").write_text("x")
    return tmp_path / "log"


def test_a_folder_is_held_against_its_hash(folder: Path, make_manifest: Make) -> None:
    """By names and contents of all that lies in it."""
    manifest = make_manifest(hashes={"log": source_sha256(folder)})
    assert verify_hashes(folder, manifest) == {"log": folder_sha256(folder)}


@pytest.mark.parametrize("change", ["changed", "added", "removed", "moved"])
def test_a_folder_that_was_touched_is_refused(folder: Path, make_manifest: Make, change: str) -> None:
    """A changed file, one more, one less, one elsewhere: expected and found are said."""
    before = source_sha256(folder)
    manifest, file = make_manifest(hashes={"log": before}), folder / "data" / "0.bin"
    {
        "changed": lambda: file.write_text("y"),
        "added": lambda: (folder / "data" / "1.bin").write_text(""),
        "removed": file.unlink,
        "moved": lambda: file.rename(folder / "0.bin"),
    }[change]()
    with pytest.raises(ManifestError, match=rf"log is not the file.*found [0-9a-f]{{64}}.*expected {before}"):
        verify_hashes(folder, manifest)


def test_files_of_a_folder_can_be_named_one_by_one(folder: Path, make_manifest: Make) -> None:
    """Each is held against its own hash; one that is gone is named."""
    hashes = {name: file_sha256(folder / name) for name in ("info.json", "data/0.bin")}
    assert verify_hashes(folder, make_manifest(hashes=hashes)) == hashes
    (folder / "info.json").unlink()
    with pytest.raises(DataError, match=r"cannot read the file.*info\.json"):
        verify_hashes(folder, make_manifest(hashes=hashes))


def test_a_source_is_a_file_or_a_folder(folder: Path) -> None:
    """Whichever lies there."""
    assert source_sha256(folder / "info.json") == file_sha256(folder / "info.json")
    assert source_sha256(folder) == folder_sha256(folder)


def test_a_source_is_called_what_the_path_calls_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``.`` is the folder one stands in; a link is called by its own name."""
    (folder.parent / "link").symlink_to(folder)
    monkeypatch.chdir(folder / "data")
    assert source_name(Path()) == "data"
    assert source_name(Path("..")) == "log"
    assert source_name(Path("0.bin")) == "0.bin"
    assert source_name(folder.parent / "link") == "link"


def test_a_folder_can_be_verified_from_inside(
    folder: Path, make_manifest: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``validate .`` finds the same name as ``adopt .`` wrote."""
    monkeypatch.chdir(folder)
    manifest = make_manifest(hashes={"log": source_sha256(Path())})
    assert verify_hashes(Path(), manifest) == manifest.hashes


def test_recorded_data_has_the_hash_that_is_found(folder: Path, make_manifest: Make) -> None:
    """Nothing to hold it against."""
    manifest = make_manifest(hashes="recorded")
    assert verify_hashes(folder / "info.json", manifest) == {"info.json": file_sha256(folder / "info.json")}
    assert verify_hashes(folder, manifest) == {}


def test_a_link_to_a_folder_counts_by_where_it_leads(tmp_path: Path) -> None:
    """Turned to another folder of the same data, the data is another."""
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "rows").write_bytes(name.encode())
    link = tmp_path / "data/now"
    link.symlink_to("a")
    before = source_sha256(tmp_path / "data")
    link.unlink()
    link.symlink_to("b")
    assert source_sha256(tmp_path / "data") != before


def test_litter_in_a_folder_does_not_count(tmp_path: Path) -> None:
    """What a file browser or a download tool leaves changes no hash; any other file does."""
    (tmp_path / "data/chunk").mkdir(parents=True)
    (tmp_path / "data/chunk/0").write_bytes(b"rows")
    before = source_sha256(tmp_path / "data")
    (tmp_path / "data/chunk/.DS_Store").write_bytes(b"icons")
    (tmp_path / "data/.cache/hub").mkdir(parents=True)
    (tmp_path / "data/.cache/hub/lock").write_bytes(b"")
    assert source_sha256(tmp_path / "data") == before
    (tmp_path / "data/chunk/.zarray").write_bytes(b"{}")
    assert source_sha256(tmp_path / "data") != before
