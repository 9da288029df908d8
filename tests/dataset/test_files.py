"""Files: whole or not at all, the same bytes, no pickles."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from offline_to_online.dataset.files import (
    file_sha256,
    folder_sha256,
    read_json,
    replacing,
    require_readable,
    write_json,
)
from offline_to_online.errors import DataError


def test_json_is_canonical(tmp_path: Path) -> None:
    """Keys are sorted, two blanks indent, a newline ends the file."""
    write_json(tmp_path / "a.json", {"b": 1, "a": [0.1]})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": [\n    0.1\n  ],\n  "b": 1\n}\n'
    assert read_json(tmp_path / "a.json") == {"a": [0.1], "b": 1}


def test_json_refuses_what_is_no_number(tmp_path: Path) -> None:
    """NaN is not written, and the file that stood there still stands."""
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(DataError, match="not finite"):
        write_json(tmp_path / "a.json", float("nan"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert read_json(tmp_path / "a.json") == 1


@pytest.mark.parametrize("content", [None, "{", b"\xff\xfe{}"])
def test_broken_json_is_one_line(tmp_path: Path, content: str | bytes | None) -> None:
    """A missing or broken file names itself in one line."""
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r"a\.json") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    """What fails while writing leaves neither the file nor its beginning."""

    def interrupted() -> None:
        with replacing(tmp_path / "a") as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_folder_hash_knows_names_and_contents(tmp_path: Path) -> None:
    """Another name, another content or another place is another hash; another parent is not."""
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "a").write_text("x")
    assert folder_sha256(one) == folder_sha256(other)
    (other / "deep" / "a").rename(other / "a")
    assert folder_sha256(one) != folder_sha256(other)
    (one / "deep" / "a").write_text("y")
    assert len({folder_sha256(one), folder_sha256(other), file_sha256(other / "a")}) == 3


def test_hash_of_nothing_is_an_error(tmp_path: Path) -> None:
    """Neither a missing file nor a missing folder has a hash."""
    with pytest.raises(DataError, match="absent"):
        file_sha256(tmp_path / "absent")
    with pytest.raises(DataError, match="absent"):
        folder_sha256(tmp_path / "absent")


@pytest.mark.parametrize("name", ["log.pkl", "log.hdf5", "log"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_is_recognised_and_never_opened(tmp_path: Path, name: str, protocol: int) -> None:
    """Under any name: by its first and last bytes."""
    (tmp_path / name).write_bytes(pickle.dumps({"observations": [1, 2]}, protocol=protocol))
    with pytest.raises(DataError, match="pickle"):
        require_readable(tmp_path / name)
