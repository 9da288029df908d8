"""One robot, one run, for real: runs started at once, and a schedule that comes round while a run is at the robot."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from offline_to_online.online.robot_lock import robot_held
from tests.flows.as_the_ui import answer, asked, flow_run, halting
from tests.flows.conftest import change_online, end, eventually, start, use_server

ROBOT = "fetch_pick_and_place"


def test_of_two_runs_started_at_once_one_is_refused(workplace: Path, api: httpx.Client) -> None:
    """One runs to its end; the other is told, in one line, which run and process holds the robot."""
    use_server(workplace, api)
    processes = {name: start(workplace, "flows.finetune", "--run", name) for name in ("ann", "ben")}
    said = {name: process.communicate(timeout=900) for name, process in processes.items()}
    codes = {name: process.returncode for name, process in processes.items()}
    assert sorted(codes.values()) == [0, 2], said
    winner, loser = sorted(codes, key=lambda name: codes[name])
    holder = f"in use by run '{winner}' (process {processes[winner].pid} on "
    assert holder in said[loser][1]
    assert len([line for line in said[loser][1].splitlines() if line.startswith("error: ")]) == 1
    assert (workplace / "data/online" / winner / "summary.json").is_file()
    assert not (workplace / "data/online" / loser).exists()


def test_a_schedule_does_not_overlap(workplace: Path, api: httpx.Client) -> None:
    """Served every minute: one that comes due while a run waits for a person waits behind it; one that meets a run
    started by hand fails, saying whose robot it is."""
    folder = halting(workplace, api)
    change_online(workplace, schedule={"cron": "* * * * *", "interval_s": 0})
    served = start(workplace, "flows.serve")
    try:
        deployment = eventually("the deployment", lambda: deployed(api))
        with robot_held(workplace / "data/online/.locks", ROBOT, "run-007"):
            made = api.post(f"/deployments/{deployment}/create_flow_run", json={}).raise_for_status().json()["id"]
            refused = eventually("its refusal", lambda: state_if(api, made, "FAILED"))
            assert re.search(r"in use by run 'run-007' \(process \d+ on ", refused["message"])
        asked(api, folder)
        at_the_robot = flow_run(api, folder)
        assert at_the_robot["auto_scheduled"]
        eventually("a run that is due", lambda: [r for r in runs(api, "SCHEDULED") if is_due(r)] or None)
        assert not runs(api, "RUNNING")
        assert [run["id"] for run in runs(api, "PAUSED")] == [at_the_robot["id"]]
        answer(api, folder, answer="reject", name="Ada", reason="seen")
        eventually("its end", lambda: state_if(api, at_the_robot["id"], "COMPLETED"))
    finally:
        end(served)
        if (deployment := deployed(api)) is not None:
            api.delete(f"/deployments/{deployment}").raise_for_status()


def deployed(api: httpx.Client) -> str | None:
    """The id of what is served."""
    said = api.get("/deployments/name/finetune/finetune-online")
    return str(said.json()["id"]) if said.is_success else None


def state_if(api: httpx.Client, run: str, kind: str) -> dict[str, Any] | None:
    """A flow run's state once it is of a kind."""
    state = dict(api.get(f"/flow_runs/{run}").json()["state"])
    return state if state["type"] == kind else None


def runs(api: httpx.Client, kind: str) -> list[dict[str, Any]]:
    """Flow runs of the deployment in a state."""
    wanted = {
        "flow_runs": {"state": {"type": {"any_": [kind]}}},
        "deployments": {"name": {"any_": ["finetune-online"]}},
    }
    return [dict(run) for run in api.post("/flow_runs/filter", json=wanted).raise_for_status().json()]


def is_due(run: dict[str, Any]) -> bool:
    """Whether a run should have begun some seconds ago."""
    due = datetime.fromisoformat(run["expected_start_time"])
    return datetime.now(UTC) - due > timedelta(seconds=5)
