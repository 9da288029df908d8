"""One robot, one run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from offline_to_online.errors import RobotError
from offline_to_online.online.robot_lock import demand_free, robot_held

HOLD = """
import sys
from pathlib import Path
from offline_to_online.online.robot_lock import robot_held
with robot_held(Path(sys.argv[1]), "pusht", "run-001"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_robot_in_use_is_refused_with_its_holder(tmp_path: Path) -> None:
    """A second run is refused, and told which run and process holds the robot; another robot is free."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(RobotError, match=rf"'run-001' \(process {holder.pid}\)"),
            robot_held(tmp_path, "pusht", "b"),
        ):
            pass
        with pytest.raises(RobotError, match=r"in use by run 'run-001'"):
            demand_free(tmp_path, "pusht")
        with robot_held(tmp_path, "fetch", "c"):
            pass
        holder.kill()
        holder.wait()
    with robot_held(tmp_path, "pusht", "d"):
        assert (tmp_path / "pusht.json").is_file()


def test_a_robot_is_free_again_after_an_error(tmp_path: Path) -> None:
    """Whatever ends the run, the robot is released."""
    with pytest.raises(KeyError), robot_held(tmp_path, "pusht", "a"):
        raise KeyError
    demand_free(tmp_path, "pusht")
    with robot_held(tmp_path, "pusht", "b"):
        pass
