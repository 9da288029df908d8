"""Links in a data set that is a folder: those within it are followed, those out of it refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from offline_to_online.dataset.formats._own_files import own
from offline_to_online.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set with one file, and the same file outside of it."""
    for folder in ("set/data", "elsewhere/data"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "0.bin").write_bytes(b"1")
    return tmp_path / "set"


def test_what_lies_in_the_folder_is_its_own(root: Path) -> None:
    """Files, links from one to another, what is not there (yet); and the folder itself may be a link."""
    (root / "again.bin").symlink_to("data/0.bin")
    (root.parent / "link").symlink_to(root)
    for path in (root / "data/0.bin", root / "again.bin", root / "absent/0.bin", root):
        assert own(path, root) == path
    through = root.parent / "link" / "again.bin"
    assert own(through, root.parent / "link") == through


@pytest.mark.parametrize("name", ["data/1.bin", "more"])
def test_a_link_out_of_the_folder_is_named(root: Path, name: str) -> None:
    """The link itself, be it the file or a folder on the way, and how to make a copy without links."""
    (root / name).symlink_to(root.parent / "elsewhere" / ("data" if name == "more" else "data/0.bin"))
    path = root / name / "0.bin" if name == "more" else root / name
    with pytest.raises(DataError, match=f"^{name} is a link to elsewhere.*cache holds links.*cp -rL") as error:
        own(path, root)
    assert error.value.where == str(path)


def test_a_link_by_way_of_another_is_followed_to_its_end(root: Path) -> None:
    """A link within the folder to a link out of it leads out."""
    (root / "out.bin").symlink_to("../elsewhere/data/0.bin")
    (root / "by_way.bin").symlink_to("out.bin")
    with pytest.raises(DataError, match=r"by_way\.bin is a link to elsewhere"):
        own(root / "by_way.bin", root)


def test_a_link_to_itself_and_a_neighbour_with_a_longer_name_are_refused(root: Path) -> None:
    """A loop ends in an error, and ``set2`` is not in ``set``."""
    (root / "loop.bin").symlink_to("loop.bin")
    root.with_name("set2").mkdir()
    (root / "other").symlink_to(root.with_name("set2"))
    for name in ("loop.bin", "other"):
        with pytest.raises(DataError, match=f"{name} is a link to elsewhere"):
            own(root / name, root)
