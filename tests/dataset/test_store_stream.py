"""The store, streamed: the same episodes as when it is read whole, and the same distrust."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline_to_online.dataset import store
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.store import load_episodes, write_episode, write_episodes
from offline_to_online.dataset.store_stream import is_episode, stream_episodes
from offline_to_online.errors import DataError


@pytest.fixture
def folder(tmp_path: Path, log: list[Episode]) -> Path:
    """Twenty episodes of ours."""
    write_episodes(tmp_path / "episodes", log)
    return tmp_path / "episodes"


def edit(path: Path, column: str, change: Callable[[list[Any]], list[Any]], kind: Any = None) -> None:
    """Write a table anew with one column changed."""
    table = pq.read_table(path)
    at = table.column_names.index(column)
    values = pa.array(change(table[column].to_pylist()), type=kind or table.schema.field(column).type)
    pq.write_table(table.set_column(at, column, values), path)


@pytest.mark.parametrize("block", [1, 7, 10, 16_384])
def test_streamed_is_as_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Every field of every episode, wherever the blocks end."""
    monkeypatch.setattr(store, "BLOCK_STEPS", block)
    for one, other in zip(stream_episodes(folder), load_episodes(folder), strict=True):
        for field in dataclasses.fields(Episode):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name


def test_episodes_come_before_the_file_is_read_to_its_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is there after the first block: one that reads all of the file would not stream."""
    monkeypatch.setattr(store, "BLOCK_STEPS", 10)
    read = 0
    batches = pq.ParquetFile.iter_batches

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal read
        for batch in batches(self, *args, **kwargs):
            read += batch.num_rows
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    next(stream_episodes(folder))
    assert read == 10


def test_a_missing_row_is_noticed(folder: Path) -> None:
    """At the end, or in the middle, where every later episode would have shifted."""
    path = folder / "transitions.parquet"
    whole = pq.read_table(path)
    pq.write_table(whole[:-1], path)
    with pytest.raises(
        DataError, match=r"not as many as counted.*transitions\.parquet\): episodes\.parquet counts \d+"
    ):
        list(stream_episodes(folder))
    pq.write_table(pa.concat_tables([whole[:5], whole[6:]]), path)
    with pytest.raises(DataError, match=r"episode 1\).*was written as"):
        list(stream_episodes(folder))


def test_a_row_too_many_is_noticed(folder: Path) -> None:
    """What nobody counted belongs to nobody."""
    path = folder / "transitions.parquet"
    whole = pq.read_table(path)
    pq.write_table(pa.concat_tables([whole, whole[-1:]]), path)
    with pytest.raises(DataError, match="not as many as counted"):
        list(stream_episodes(folder))


def test_a_missing_episode_is_noticed(folder: Path) -> None:
    """A row that is gone from the table of episodes leaves steps over."""
    path = folder / "episodes.parquet"
    table = pq.read_table(path)
    pq.write_table(table[:-1], path)
    with pytest.raises(DataError, match="not as many as counted"):
        list(stream_episodes(folder))


@pytest.mark.parametrize("column", ["observation", "action", "reward"])
def test_a_changed_value_is_noticed(folder: Path, column: str) -> None:
    """In the episode that it belongs to; those before it have been read by then."""

    def change(values: list[Any]) -> list[Any]:
        values[5] = [x + 1 for x in values[5]] if isinstance(values[5], list) else values[5] + 1
        return values

    edit(folder / "transitions.parquet", column, change)
    stream = stream_episodes(folder)
    next(stream)
    with pytest.raises(DataError, match=r"transitions\.parquet, episode 1\).*was written as"):
        next(stream)


def test_a_changed_ending_or_last_observation_is_noticed(folder: Path) -> None:
    """Those stand in the table of episodes."""
    for column, change in (
        ("terminated", lambda values: [True, *values[1:]]),
        ("final_observation", lambda values: [[0.0, 0.0], *values[1:]]),
    ):
        kept = (folder / "episodes.parquet").read_bytes()
        edit(folder / "episodes.parquet", column, change)
        with pytest.raises(DataError, match=r"episode 0\).*was written as"):
            next(stream_episodes(folder))
        (folder / "episodes.parquet").write_bytes(kept)


def test_a_store_of_nothing_is_refused(folder: Path) -> None:
    """Whoever emptied it: no episodes is an error, not an end."""
    pq.write_table(pq.read_table(folder / "episodes.parquet")[:0], folder / "episodes.parquet")
    with pytest.raises(DataError, match=r"no episodes .*episodes\.parquet"):
        list(stream_episodes(folder))


@pytest.mark.parametrize("length", [None, 0, -6])
def test_a_length_that_cannot_be_is_named(folder: Path, length: int | None) -> None:
    """No slice is taken with it."""
    edit(folder / "episodes.parquet", "length", lambda values: [values[0], length, *values[2:]])
    with pytest.raises(DataError, match=rf"the length is {length} .*episode 1\)"):
        list(stream_episodes(folder))


def test_columns_of_another_kind_are_one_line(folder: Path) -> None:
    """Lists where vectors were written, texts where numbers were."""
    path = folder / "transitions.parquet"
    kept = path.read_bytes()
    for column, kind, change in (
        ("observation", pa.list_(pa.float32()), list),
        ("reward", pa.string(), lambda values: ["much"] * len(values)),
    ):
        edit(path, column, change, kind)
        with pytest.raises(DataError, match=r"transitions\.parquet") as caught:
            list(stream_episodes(folder))
        assert "\n" not in str(caught.value)
        path.write_bytes(kept)


@pytest.mark.parametrize("name", ["transitions.parquet", "episodes.parquet"])
def test_missing_truncated_and_foreign_files_are_named(folder: Path, name: str) -> None:
    """Each in one line with the file."""
    path = folder / name
    content = path.read_bytes()
    for broken, said in ((content[: len(content) // 2], "not readable as Parquet"), (b"", "not readable as Parquet")):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=rf"{said}.*{name}") as caught:
            list(stream_episodes(folder))
        assert "\n" not in str(caught.value)
    pq.write_table(pa.table({"stranger": [1] * 200}), path)
    with pytest.raises(DataError, match=f"no column .*{name}"):
        list(stream_episodes(folder))
    path.unlink()
    with pytest.raises(DataError, match=f"no such file .*{name}"):
        list(stream_episodes(folder))


def test_only_what_was_written_as_an_episode_is_one(tmp_path: Path, folder: Path, log: list[Episode]) -> None:
    """Told by the file's own header; what cannot be read is none."""
    write_episode(tmp_path / "one.parquet", log[0])
    (tmp_path / "text.parquet").write_text("hello")
    assert is_episode(tmp_path / "one.parquet")
    others = (folder / "transitions.parquet", tmp_path / "text.parquet", tmp_path / "absent.parquet", tmp_path)
    assert not any(is_episode(path) for path in others)
