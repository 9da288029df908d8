"""What a person does in the Prefect UI, through the same API: see a run that waits, and fill in its form."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from benchmarks.small_handoff import AUDIT, GENEROUS, LENIENT
from offline_to_online.dataset.files import read_json
from tests.flows.conftest import change_online, eventually, use_server


def halting(workplace: Path, api: httpx.Client, *, patience_s: int = 900) -> Path:
    """Let a drift that any exploring policy has halt every round of a workplace's run; the run's folder."""
    use_server(workplace, api)
    safety = {**GENEROUS, "support_drift": {"limit": 0.0, "statistic": "worst"}}
    gates = {"safety": safety, "acceptance": LENIENT, "audit": asdict(AUDIT)}
    change_online(workplace, gates=gates, exploration_scale=20.0)
    change_online(workplace, people={"patience_s": patience_s})
    return workplace / "data" / "online" / "run-001"


def flow_run(api: httpx.Client, folder: Path) -> dict[str, Any]:
    """The flow run that works on a run, as the UI reads it."""
    return dict(api.get(f"/flow_runs/{read_json(folder / 'prefect.json')['flow_run']}").json())


def asked(api: httpx.Client, folder: Path, *, not_in: tuple[str, ...] = ()) -> tuple[str, str]:
    """The flow run that waits for an answer, and what is beside its form; those seen before are waited out."""

    def form() -> tuple[str, str] | None:
        if not (folder / "prefect.json").is_file():
            return None
        found = flow_run(api, folder)
        if found["state"]["type"] != "PAUSED" or found["state"]["id"] in not_in:
            return None
        keys = found["state"]["state_details"]["run_input_keyset"]
        text = api.get(f"/flow_runs/{found['id']}/input/{keys['description']}").json()
        return str(found["state"]["id"]), str(text)

    return eventually("a question", form)  # type: ignore[no-any-return]


def answer(api: httpx.Client, folder: Path, **values: Any) -> str:
    """Fill in the form as the UI does; the server's word on it: ACCEPT or REJECT."""
    path = f"/flow_runs/{flow_run(api, folder)['id']}/resume"
    return str(api.post(path, json={"run_input": values}).raise_for_status().json()["status"])
