"""An emergency stop of the flow as a person runs it: Prefect around it, and nothing of Prefect on its way."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.flows.conftest import change_online, kill, start
from tests.flows.test_finetune import prefect_rows, refused, wait_for


def journaled(folder: Path, kind: str) -> list[dict[str, object]]:
    """The data of a kind of record in a run's journal."""
    rows = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [row["data"] for row in rows if row["kind"] == kind]


def test_a_signal_stops_the_flow_until_the_file_is_removed(workplace: Path) -> None:
    """One line and a record; refused while the STOP file lies there; then the run goes on with the next episode."""
    change_online(workplace, episodes_per_round=300)
    folder, stop = workplace / "data/online/run-001", workplace / "data/online/STOP"
    running = start(workplace, "flows.finetune")
    wait_for(folder / "episodes/000002.parquet", seconds=600)
    os.kill(running.pid, signal.SIGUSR1)
    _, err = running.communicate(timeout=300)
    assert running.returncode == 2, err
    assert "error: emergency stop: signal SIGUSR1" in err
    assert "Traceback" not in err
    (stopped,) = journaled(folder, "emergency_stop")
    assert (stopped["phase"], stopped["reason"]) == ("collect", "signal SIGUSR1")
    assert "an emergency stop stands: signal SIGUSR1 (data/online/STOP)" in refused(workplace)
    stop.unlink()
    again = start(workplace, "flows.finetune")
    wait_for(folder / f"episodes/{int(str(stopped['index'])) + 3:06d}.parquet", seconds=600)
    kill(again)
    assert len(journaled(folder, "emergency_stop")) == 1


def test_a_terminated_flow_is_no_emergency(workplace: Path) -> None:
    """SIGTERM ends the flow by Prefect's own exception, which goes by the robot's stop; no record, no file."""
    change_online(workplace, episodes_per_round=300)
    folder = workplace / "data/online/run-001"
    running = start(workplace, "flows.finetune")
    wait_for(folder / "episodes/000002.parquet", seconds=600)
    os.kill(running.pid, signal.SIGTERM)
    assert running.wait(timeout=300) != 0
    kill(running)
    # A process that is ended at once leaves its flow run running.
    assert prefect_rows(workplace, "select state_type from flow_run") == [("CRASHED",)]
    assert journaled(folder, "emergency_stop") == []
    assert not (workplace / "data/online/STOP").exists()
