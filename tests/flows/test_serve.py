"""The served deployment, for real: a Prefect server, the deployment, a run started through the server's API."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.shown import close_ended
from tests.flows.conftest import end, eventually, start, use_server


def test_a_run_started_from_the_served_deployment_completes(workplace: Path, api: httpx.Client) -> None:
    """`python -m flows.serve`, then a flow run made as the UI's button makes it: COMPLETED, with its summary.

    Had it been killed at its very end, after its run was over, the next start would have closed it.
    """
    use_server(workplace, api)
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
    still = {"state": {"type": "RUNNING"}, "force": True}
    api.post(f"/flow_runs/{run}/set_state", json=still).raise_for_status()
    with temporary_settings({PREFECT_API_URL: str(api.base_url).rstrip("/")}):
        close_ended(workplace / "data/online", "run-002")
    assert api.get(f"/flow_runs/{run}").json()["state"]["type"] == "CRASHED"
