"""What the Prefect UI shows of a run: verdicts round by round, and how far it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from flows.server import patiently
from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.online.beginning import is_over, run_names
from offline_to_online.online.run import CERTIFY, DECISION, SAFETY, SCREEN, OnlineRun

FLOW_RUN_FILE = "prefect.json"


def name_flow_run(name: str) -> None:
    """Show this flow run under an online run's name."""
    context = FlowRunContext.get()
    if context and context.flow_run:
        with get_client(sync_client=True) as client:
            client.set_flow_run_name(context.flow_run.id, name)


def close_crashed(path: Path) -> None:
    """Note in a file which flow run works on an online run; the one that did so before, left by a crash, is closed."""
    context = FlowRunContext.get()
    mine = str(context.flow_run.id) if context and context.flow_run else ""
    before = str(read_json(path)["flow_run"]) if path.is_file() else ""
    if before and before != mine:
        _crash(UUID(before), "Killed; another flow run goes on.")
    write_json(path, {"flow_run": mine})


def close_ended(root: Path, name: str) -> None:
    """Close the flow run of the online run that ended last, should a crash at its very end have left it running."""
    over = [root / other / FLOW_RUN_FILE for other in run_names(root) if other != name and is_over(root, other)]
    last = max((path for path in over if path.is_file()), key=lambda path: path.stat().st_mtime, default=None)
    if last and (flow_run := read_json(last)["flow_run"]):
        _crash(UUID(flow_run), "Killed after its online run was over.")


def show_verdicts(run: OnlineRun, number: int) -> None:
    """A table of a round's verdicts."""
    patiently(
        lambda: create_table_artifact(
            key=artifact_key(run.name, f"round-{number:03d}"),
            table=verdict_rows(run, number),
            description=f"Run {run.name}, round {number}: {_outcome(run, number)}",
        )
    )


def verdict_rows(run: OnlineRun, number: int) -> list[dict[str, Any]]:
    """One row per rule: gate, rule, whether it passed, measured, limit, unit and reason."""
    rows = []
    for phase, gate in ((SAFETY, "safety"), (SCREEN, "screen"), (CERTIFY, "acceptance")):
        for verdict in (run.result(number, phase) or {"verdicts": []})["verdicts"]:
            order = ("rule", "passed", "measured", "limit", "unit", "reason")
            rows.append({"gate": gate, **{key: verdict[key] for key in order}})
    return rows


class Progress:
    """The progress artifact of a run."""

    def __init__(self, run: OnlineRun) -> None:
        self._rounds = run.config.rounds
        done = sum(1 for _ in run.results(DECISION))
        key, said = artifact_key(run.name, "progress"), f"Rounds of run {run.name}"
        made = patiently(lambda: create_progress_artifact(progress=self._share(done), key=key, description=said))
        self._artifact = UUID(str(made))

    def advance(self, number: int) -> None:
        """A round is over."""
        patiently(lambda: update_progress_artifact(self._artifact, progress=self._share(number)))

    def done(self) -> None:
        """The run is over."""
        patiently(lambda: update_progress_artifact(self._artifact, progress=100.0))

    def _share(self, done: int) -> float:
        # The final evaluation is the last step.
        return 100.0 * done / (self._rounds + 1)


def _outcome(run: OnlineRun, number: int) -> str:
    decision = run.result(number, DECISION)
    if decision is None:
        asked = run.open_question()
        return f"halted ({run.halt_reason() or (asked.reason if asked else '')})"
    return f"{'accepted' if decision['accepted'] else 'not accepted'} ({decision['reason']})"


def artifact_key(name: str, what: str) -> str:
    """An artifact's key: lowercase letters, digits and dashes."""
    return re.sub(r"[^a-z0-9-]+", "-", f"{name}-{what}".lower()).strip("-")


def _crash(flow_run: UUID, message: str) -> None:
    with get_client(sync_client=True) as client:
        try:
            found = client.read_flow_run(flow_run)
            if found.state is None or not found.state.is_final():
                client.set_flow_run_state(flow_run, Crashed(message=message), force=True)
        except ObjectNotFound:
            # Another Prefect database: nothing is left running in this one.
            return
