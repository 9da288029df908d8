"""The real flow, Prefect's ephemeral server and all, killed several times and started again by its command."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from benchmarks.crash.comparing import differences
from benchmarks.crash.outages import killed, started_flow, wait_for
from benchmarks.crash.small import RUN, RUNS, workplace

# What has just appeared when it is killed.
MOMENTS = (
    "run.json",
    "episodes/000001.parquet",
    "rounds/001/candidate/learner.safetensors",
    "rounds/001/certify/001.json",
    "rounds/001/decision.json",
    "rounds/002/collect.json",
    "final/baseline/metrics.json",
)


def flow_kills(folder: Path, handoff: Path, reference: Path, moments: tuple[str, ...] = MOMENTS) -> dict[str, Any]:
    """Kill the flow at each moment and go on; what is not as in the uninterrupted run, in Prefect's database too."""
    place = workplace(folder, handoff)
    kills, wrong = 0, list[str]()
    for moment in moments:
        flow = started_flow(place)
        wait_for(lambda m=moment, f=flow: (place / RUNS / RUN / m).exists() or f.poll() is not None)  # type: ignore[misc]
        kills += flow.poll() is None
        killed(flow)
    began = time.monotonic()
    last = started_flow(place)
    _, said = last.communicate()
    wrong += [f"ended with {last.returncode}: {said.strip().splitlines()[-1:]}"] if last.returncode else []
    wrong += ["a traceback"] if "Traceback" in said else []
    states = _states(place)
    wrong += [f"Prefect's flow runs: {states}"] if states != ["CRASHED"] * (len(states) - 1) + ["COMPLETED"] else []
    return {
        "kind": "the real flow, killed",
        "kills": kills,
        "flow runs": states,
        "last_s": time.monotonic() - began,
        "differences": wrong or differences(place, reference),
    }


def _states(place: Path) -> list[str]:
    with sqlite3.connect(place / RUNS / "prefect" / "prefect.db") as database:
        found = database.execute("select state_type from flow_run order by created").fetchall()
    return [str(row[0]) for row in found]
