"""Which format data is in: told by looking, forced by name, and never guessed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import pytest

from offline_to_online.dataset import detection
from offline_to_online.dataset.detection import format_of, name_of
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.formats import d4rl_hdf5, parquet_store
from offline_to_online.dataset.store import write_episodes
from offline_to_online.errors import DataError, ParameterError
from offline_to_online.plugins import available


def test_it_is_told_by_looking(write_hdf5: Callable[..., Path], tmp_path: Path, log: list[Episode]) -> None:
    """By content: a D4RL file under another name is one still, and a folder of ours is ours."""
    path = write_hdf5().rename(tmp_path / "log.bin")
    write_episodes(tmp_path / "episodes", log)
    assert format_of(path) is d4rl_hdf5
    assert format_of(tmp_path / "episodes") is parquet_store
    assert (name_of(d4rl_hdf5), name_of(parquet_store)) == ("d4rl_hdf5", "parquet_store")


def test_a_choice_can_be_forced(write_hdf5: Callable[..., Path]) -> None:
    """Nobody is asked then; a misspelt name gets the nearest."""
    assert format_of(write_hdf5(), "parquet_store") is parquet_store
    with pytest.raises(ParameterError, match=r"unknown format 'd4rl'.*did you mean 'd4rl_hdf5'\?"):
        format_of(write_hdf5(), "d4rl")


def test_what_nobody_recognises_lists_the_formats(tmp_path: Path) -> None:
    """In one line, with every name there is."""
    (tmp_path / "notes.txt").write_text("hello")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["weights"] = [1.0]
    for path in (tmp_path / "notes.txt", tmp_path / "other.h5", tmp_path):
        with pytest.raises(DataError, match="no format recognises") as caught:
            format_of(path)
        assert all(name in str(caught.value) for name in available("formats"))
        assert "\n" not in str(caught.value)


def test_what_two_recognise_must_be_chosen(write_hdf5: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both names are said; forcing one of them settles it."""
    real = detection.module_for

    def generous(kind: str, name: str) -> ModuleType:
        module = ModuleType(f"formats.{name}")
        module.recognises = lambda path: name in ("d4rl_hdf5", "parquet_store")  # type: ignore[attr-defined]
        return module

    path = write_hdf5()
    monkeypatch.setattr(detection, "module_for", generous)
    with pytest.raises(DataError, match="2 formats recognise this data: d4rl_hdf5, parquet_store"):
        format_of(path)
    monkeypatch.setattr(detection, "module_for", real)
    assert format_of(path, "d4rl_hdf5") is d4rl_hdf5


@pytest.mark.parametrize("name", [None, "d4rl_hdf5"])
def test_what_is_not_there_and_what_is_a_pickle_are_refused(tmp_path: Path, name: str | None) -> None:
    """Before any format looks, forced or not."""
    (tmp_path / "log.hdf5").write_bytes(pickle.dumps([1]))
    with pytest.raises(DataError, match="pickle"):
        format_of(tmp_path / "log.hdf5", name)
    with pytest.raises(DataError, match="no such data"):
        format_of(tmp_path / "absent", name)
