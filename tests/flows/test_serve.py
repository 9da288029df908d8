"""The served deployment, for real: a Prefect server, the deployment, a run started through the server's API."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flows.conftest import change_online, environment, start

PATIENCE_S = 180.0


def eventually(what: str, ask: Callable[[], Any]) -> Any:
    """What ``ask`` says once it says something; None and a refused connection are asked again."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            if (answer := ask()) is not None:
                return answer
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"waited {PATIENCE_S:.0f} s for {what}")


def end(process: subprocess.Popen[Any]) -> None:
    """Stop a process and all that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[httpx.Client]:
    """A Prefect server of its own on a free port; its API."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [Path(sys.executable).with_name("prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env={**environment(), "PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api", timeout=30.0) as client:
        try:
            eventually("the server", lambda: client.get("/health").is_success or None)
            yield client
        finally:
            end(server)


def test_a_run_started_from_the_served_deployment_completes(workplace: Path, api: httpx.Client) -> None:
    """`python -m flows.serve`, then a flow run made as the UI's button makes it: COMPLETED, with its summary."""
    change_online(workplace, servers={"mlflow": "", "prefect": str(api.base_url).rstrip("/")})
    served = start(workplace, "flows.serve")
    try:

        def deployment() -> str | None:
            said = api.get("/deployments/name/finetune/finetune-online")
            return str(said.json()["id"]) if said.is_success else None

        made = api.post(f"/deployments/{eventually('the deployment', deployment)}/create_flow_run", json={})
        run = made.raise_for_status().json()["id"]

        def ended() -> str | None:
            kind = str(api.get(f"/flow_runs/{run}").json()["state"]["type"])
            return kind if kind in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else None

        assert eventually("the run's end", ended) == "COMPLETED"
        assert api.get(f"/flow_runs/{run}").json()["name"] == "run-001"
    finally:
        end(served)
    summary = json.loads((workplace / "data/online/run-001/summary.json").read_text())
    assert (summary["rounds"], summary["episodes"]) == (2, 4)
