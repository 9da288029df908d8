"""What a run keeps in memory: nothing read twice, nothing of another run, and the same after a restart."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from offline_to_online.online.journal import Journal
from offline_to_online.online.memory import Kept


def run(folder: Path, episodes: int, *, seed: int = 0) -> Any:
    """As much of a run as its memory looks at, with further episodes in its journal."""
    journal = Journal(folder / "journal.jsonl")
    journal.once("begin", {}, {"run": "small", "sha256": f"facts {seed}"})
    for index in range(episodes):
        journal.once("episode", {"index": index}, {"sha256": f"{seed} {index}"})
        journal.once("phase", {"round": index}, {"sha256": "a phase in between"})
    return SimpleNamespace(folder=folder, journal=journal, episode_path=lambda index: folder / f"{index}.parquet")


class Reading:
    """A memory that writes down every file it reads."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.kept: Kept[list[str]] = Kept(lambda run: ["logs"], self._add)

    def _add(self, held: list[str], path: Path) -> None:
        self.read.append(path.stem)
        held.append(path.stem)


def test_an_episode_is_read_once_however_often_it_is_asked_for(tmp_path: Path) -> None:
    """What is added to is what was there, on a run that is opened anew each time."""
    memory = Reading()
    for episodes in (0, 2, 2, 3, 7):
        held = memory.kept.after(run(tmp_path, episodes), episodes)
        assert held == ["logs", *map(str, range(episodes))]
    assert memory.read == [str(index) for index in range(7)]


def test_a_process_that_has_just_started_reads_the_same_in_the_same_order(tmp_path: Path) -> None:
    """All episodes that are asked for, and none beyond."""
    kept, fresh = Reading().kept, Reading().kept
    kept.after(run(tmp_path, 2), 2)
    assert kept.after(run(tmp_path, 6), 5) == fresh.after(run(tmp_path, 6), 5) == ["logs", "0", "1", "2", "3", "4"]


def test_an_earlier_time_is_built_anew(tmp_path: Path) -> None:
    """A round that was cut off after its third episode begins with the two before it."""
    memory = Reading()
    memory.kept.after(run(tmp_path, 3), 3)
    assert memory.kept.after(run(tmp_path, 3), 2) == ["logs", "0", "1"]


def test_another_run_is_another_memory(tmp_path: Path) -> None:
    """In another folder, or in the same one with another history."""
    memory = Reading()
    first = memory.kept.after(run(tmp_path / "a", 2), 2)
    assert memory.kept.after(run(tmp_path / "b", 3), 3) is not first
    held = memory.kept.after(run(tmp_path / "a", 2), 2)
    (tmp_path / "a" / "journal.jsonl").unlink()
    other = memory.kept.after(run(tmp_path / "a", 4, seed=1), 3)
    assert other is not held
    assert other == ["logs", "0", "1", "2"]
