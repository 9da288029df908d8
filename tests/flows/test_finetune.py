"""The flow, run for real: Prefect's ephemeral server, MLflow's SQLite, a real robot in simulation."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import time
from pathlib import Path

import pytest

from offline_to_online.errors import ParameterError
from offline_to_online.online.robot_lock import robot_held
from tests.flows.conftest import change_online, kill, start

ROBOT = "fetch_pick_and_place"


def wait_for(path: Path, seconds: float = 120.0) -> None:
    """Wait until a file is there."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.05)


def prefect_rows(workplace: Path, query: str) -> list[tuple[str, ...]]:
    with sqlite3.connect(workplace / "data" / "online" / "prefect" / "prefect.db") as database:
        return database.execute(query).fetchall()


def test_a_killed_run_goes_on_and_ends(workplace: Path) -> None:
    """Killed in its first round, the flow goes on at the next start and ends, with all that a person looks for."""
    killed = start(workplace, "flows.finetune")
    wait_for(workplace / "data/online/run-001/rounds/001/collect.json")
    kill(killed)
    again = start(workplace, "flows.finetune")
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert "run 'run-001' is unfinished: going on with it" in err
    assert "Traceback" not in err
    assert "4 episodes collected" in out
    folder = workplace / "data/online/run-001"
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["rounds"], summary["accepted"], summary["champion_version"]) == (2, 2, "2")
    assert "<html" in (folder / "report.html").read_text()
    states = prefect_rows(workplace, "select state_type from flow_run order by created")
    assert states == [("CRASHED",), ("COMPLETED",)]
    kinds = dict(prefect_rows(workplace, "select key, type from artifact"))
    assert kinds["run-001-round-002"] == "table"
    assert kinds["run-001-progress"] == "progress"
    assert sorted(p.name for p in workplace.iterdir()) == ["data", "models", "params.yaml"]


def refused(workplace: Path, *arguments: str) -> str:
    """The one line with which the flow refuses; it exits with 2."""
    process = start(workplace, "flows.finetune", *arguments)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    return err


def test_no_server_is_one_line(workplace: Path) -> None:
    """No MLflow or Prefect server at the configured address: one line, and nothing is begun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    change_online(workplace, servers={"mlflow": address, "prefect": ""})
    assert f"no MLflow server at {address}" in refused(workplace)
    change_online(workplace, servers={"mlflow": "", "prefect": f"{address}/api"})
    assert f"no Prefect server at {address}/api" in refused(workplace)
    assert not (workplace / "data/online/run-001").exists()


def test_a_bad_handoff_is_one_line(workplace: Path) -> None:
    """A changed handoff, and a missing one: one line, and nothing is begun."""
    (workplace / "models/handoff/calibration.json").write_text("{}")
    assert "calibration.json was changed after the handoff" in refused(workplace)
    shutil.rmtree(workplace / "models/handoff")
    assert "no handoff" in refused(workplace)
    assert not (workplace / "data/online/run-001").exists()


def test_a_robot_in_use_is_one_line(workplace: Path) -> None:
    """A second run on the robot is refused with the holder's name."""
    with robot_held(workplace / "data/online/.locks", ROBOT, "run-007"):
        assert "in use by run 'run-007'" in refused(workplace, "--new")


@pytest.mark.parametrize(
    ("cron", "interval", "expected"), [("0 3 * * *", 0.0, "cron"), ("", 60.0, "interval"), ("", 0.0, "")]
)
def test_the_schedule_comes_from_the_parameters(cron: str, interval: float, expected: str) -> None:
    """A cron line, an interval, or by hand."""
    from flows.serve import schedule_of
    from offline_to_online.online.config import ScheduleConfig

    assert set(schedule_of(ScheduleConfig(cron=cron, interval_s=interval))) == ({expected} if expected else set())


def test_a_cron_line_that_is_none_is_refused() -> None:
    """It is said before anything is served."""
    from flows.serve import schedule_of
    from offline_to_online.online.config import ScheduleConfig

    with pytest.raises(ParameterError, match=r"cron 'daily' \(params.yaml online.schedule.cron\): five fields"):
        schedule_of(ScheduleConfig(cron="daily"))


def test_a_schedule_wants_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's ephemeral server keeps no schedule: refused, unless there is a server or no schedule."""
    from flows.serve import demand_server_for

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    demand_server_for({})
    with pytest.raises(ParameterError, match="a schedule without a Prefect server"):
        demand_server_for({"interval": 60})
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    demand_server_for({"interval": 60})
