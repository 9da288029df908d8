"""One robot, one run, for real: runs started at once, and a schedule that comes round while a run is at the robot."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import httpx

from offline_to_online.dataset.files import read_json
from offline_to_online.online.robot_lock import robot_held
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


def test_a_schedule_neither_overlaps_nor_takes_a_robot_that_is_held(workplace: Path, api: httpx.Client) -> None:
    """Served every minute: while a person's run holds the robot the scheduled one fails saying whose it is; once the
    robot is free one runs, and those that come due meanwhile wait."""
    use_server(workplace, api)
    change_online(workplace, schedule={"cron": "* * * * *", "interval_s": 0})
    served = start(workplace, "flows.serve")
    try:
        with robot_held(workplace / "data/online/.locks", ROBOT, "run-007"):
            refused = eventually("a refused run", lambda: next(iter(runs(api, "FAILED")), None))
            assert re.search(r"in use by run 'run-007' \(process \d+ on ", refused["state"]["message"])
            assert refused["auto_scheduled"]
        eventually("a run at the robot", lambda: runs(api, "RUNNING") or None)
        eventually("its end", lambda: runs(api, "COMPLETED") or None)
        assert overlaps(api) == []
    finally:
        end(served)
        delete(api)
    assert read_json(workplace / "data/online/run-001/summary.json")["rounds"] == 2


def runs(api: httpx.Client, kind: str) -> list[dict[str, Any]]:
    """Flow runs of the schedule in a state."""
    wanted = {
        "flow_runs": {"state": {"type": {"any_": [kind]}}},
        "deployments": {"name": {"any_": ["finetune-online"]}},
    }
    return [run for run in api.post("/flow_runs/filter", json=wanted).json() if run["auto_scheduled"]]


def overlaps(api: httpx.Client) -> list[tuple[str, str]]:
    """Pairs of scheduled runs that were at the robot at the same time."""
    spans = [(r["start_time"], r["end_time"] or "9", r["name"]) for k in ("RUNNING", "COMPLETED") for r in runs(api, k)]
    spans.sort()
    return [(a[2], b[2]) for a, b in itertools.pairwise(spans) if b[0] < a[1]]


def delete(api: httpx.Client) -> None:
    """Take the deployment back, so that its schedule ends."""
    found = api.get("/deployments/name/finetune/finetune-online").json()
    api.delete(f"/deployments/{found['id']}").raise_for_status()
