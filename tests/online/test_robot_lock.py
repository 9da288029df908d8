"""One robot, one run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from offline_to_online.errors import RobotError
from offline_to_online.online.robot_lock import demand_free, robot_held

HOLD = """
import subprocess, sys
from pathlib import Path
from offline_to_online.online.robot_lock import robot_held
with robot_held(Path(sys.argv[1]), "pusht", "run-001"):
    child = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    print(f"held {child.pid}", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder_of(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the robot, with a child that outlives it."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline().removeprefix("held "))
        try:
            yield holder
        finally:
            os.kill(child, signal.SIGKILL)
            holder.kill()
            holder.wait()


def test_a_robot_in_use_is_refused_with_its_holder(tmp_path: Path) -> None:
    """A second run is refused, and told which run and process holds the robot; another robot is free."""
    with holder_of(tmp_path) as holder:
        said = rf"'run-001' \(process {holder.pid} on .+, since 20..-..-..T.*\)"
        with pytest.raises(RobotError, match=said), robot_held(tmp_path, "pusht", "b"):
            pass
        with pytest.raises(RobotError, match=r"in use by run 'run-001'"):
            demand_free(tmp_path, "pusht")
        with robot_held(tmp_path, "fetch", "c"):
            pass


def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    """Its lock file and its name stay behind, a child of it lives on: the robot is free."""
    with holder_of(tmp_path) as holder:
        holder.kill()
        holder.wait()
        assert (tmp_path / "pusht.lock").is_file()
        assert json.loads((tmp_path / "pusht.json").read_text())["run"] == "run-001"
        demand_free(tmp_path, "pusht")
        with robot_held(tmp_path, "pusht", "d"):
            assert json.loads((tmp_path / "pusht.json").read_text())["run"] == "d"


def test_a_name_that_a_killed_process_left_is_not_the_holders(tmp_path: Path) -> None:
    """A holder that has not written its name yet is another run, not the one that was killed before."""
    with holder_of(tmp_path) as holder:
        left = (tmp_path / "pusht.json").read_text()
        holder.kill()
        holder.wait()
    with robot_held(tmp_path, "pusht", "d"):
        (tmp_path / "pusht.json").write_text(left)
        with pytest.raises(RobotError, match="in use by another run"):
            demand_free(tmp_path, "pusht")


def test_a_robot_is_free_again_after_an_error(tmp_path: Path) -> None:
    """Whatever ends the run, the robot is released."""
    with pytest.raises(KeyError), robot_held(tmp_path, "pusht", "a"):
        raise KeyError
    demand_free(tmp_path, "pusht")
    with robot_held(tmp_path, "pusht", "b"):
        pass
