"""Motions that were begun: repeated only after it was said, and never for a run that is looked at."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from offline_to_online.errors import RunError
from offline_to_online.online import attempts
from offline_to_online.online.attempts import BEGUN, FILE, motion, sweep, unfinished
from offline_to_online.online.run import OnlineRun


def run_in(folder: Path, *, moves: bool = True) -> OnlineRun:
    """As much of a run as a motion asks for."""
    return cast(OnlineRun, SimpleNamespace(folder=folder, name="run-001", moves=moves))


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines() if line]


def killed(folder: Path) -> None:
    """A motion that a SIGKILL ends: begun, and nothing more; the next process knows only the file."""
    attempts._KNOWN.clear()
    attempts._attempts(folder / FILE).note("collect episode 7", BEGUN)
    attempts._KNOWN.clear()


def test_a_motion_is_written_down_before_and_after(tmp_path: Path) -> None:
    """Begun is on the disk while the robot moves, done once it has; nothing is said."""
    with motion(run_in(tmp_path), "collect episode 0"):
        assert [row["state"] for row in rows(tmp_path)] == ["begun"]
        assert unfinished(tmp_path) == {"collect episode 0": 1}
    assert [row["state"] for row in rows(tmp_path)] == ["begun", "done"]
    assert unfinished(tmp_path) == {}


def test_a_repeated_motion_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was begun and not finished is repeated with a line on stderr and the attempt's number on record."""
    killed(tmp_path)
    with pytest.raises(KeyboardInterrupt), motion(run_in(tmp_path), "collect episode 7"):
        raise KeyboardInterrupt
    assert "collect episode 7 was begun once and not finished; the robot repeats it" in capsys.readouterr().err
    with motion(run_in(tmp_path), "collect episode 7"):
        pass
    assert "begun 2 times and not finished" in capsys.readouterr().err
    assert [row["attempt"] for row in rows(tmp_path) if "attempt" in row] == [2, 3]
    with motion(run_in(tmp_path), "collect episode 7"):
        pass
    assert capsys.readouterr().err == ""


def test_a_motion_that_is_cut_short_stays_unfinished(tmp_path: Path) -> None:
    """An error on the way is written down by its name, and the motion counts as begun."""
    with pytest.raises(KeyboardInterrupt), motion(run_in(tmp_path), "final champion"):
        raise KeyboardInterrupt
    assert rows(tmp_path)[-1]["why"] == "KeyboardInterrupt"
    assert unfinished(tmp_path) == {"final champion": 1}


def test_a_line_that_was_cut_in_half_harms_no_other(tmp_path: Path) -> None:
    """The power cut a line: it says nothing, and the next one stands on a line of its own."""
    killed(tmp_path)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"motion": "collect epis')
    attempts._KNOWN.clear()
    with motion(run_in(tmp_path), "collect episode 8"):
        pass
    attempts._KNOWN.clear()
    assert unfinished(tmp_path) == {"collect episode 7": 1}


def test_a_run_that_is_looked_at_moves_nothing(tmp_path: Path) -> None:
    """Whoever opened a run to look at it cannot move its robot."""
    with (
        pytest.raises(RunError, match="collect episode 0 is not on record"),
        motion(run_in(tmp_path, moves=False), "collect episode 0"),
    ):
        raise AssertionError("it moved")
    assert not (tmp_path / FILE).exists()


def test_unfinished_files_are_swept_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what our own writing leaves behind when it is killed is deleted, and that is said."""
    (tmp_path / "episodes").mkdir()
    for name in ("episodes/.000001.parquet.0a1b2c3d.partial", "episodes/000001.parquet", "mine.partial", ".hidden"):
        (tmp_path / name).write_text("x")
    assert sweep(tmp_path) == ["episodes/.000001.parquet.0a1b2c3d.partial"]
    assert "discarded 1 unfinished file(s)" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [".hidden", "000001.parquet", "mine.partial"]
