"""Asking a person: the flow run pauses in the Prefect UI until its form is filled in, or patience ends, which means no.

Whatever is answered is journaled before anything follows from it. A process that is killed while it waits asks again
at the next start; one that is killed after an answer was journaled does not.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import OrchestrationResult
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import SetStateStatus
from prefect.context import FlowRunContext
from prefect.input import RunInput, keyset_from_paused_state, read_flow_run_input
from prefect.states import Paused, Running

from flows.question import answer_of, evidence_text, form_of
from flows.server import PATIENCE_S, address, patiently, ui_address
from flows.shown import artifact_key
from offline_to_online.errors import EmergencyStopError, ParameterError, RunError
from offline_to_online.online.config import PeopleConfig
from offline_to_online.online.emergency import demand_no_stop, stop_file
from offline_to_online.online.people import EMERGENCY_STOP, Question, file_removed, no_answer
from offline_to_online.online.run import OnlineRun
from offline_to_online.report.online_page import write_online_report

LOOK_S = 1.0
# The server fails a pause that has run out; we end it ourselves, before that.
GRACE_S = 300


def somebody(people: PeopleConfig) -> bool:
    """Whether anybody can be asked: there is patience, and a server that outlives this process."""
    return people.patience_s > 0 and bool(address())


def demand_somebody(people: PeopleConfig) -> None:
    """Refuse candidates that wait for a person where nobody can be asked.

    Raises:
        ParameterError: every one would be rejected.
    """
    if people.approve_acceptance and not somebody(people):
        raise ParameterError(
            "approve_acceptance without a Prefect server",
            where="online.people.approve_acceptance",
            limit="an ephemeral server has nobody to ask",
            remedy="start one (`make ui`), and set PREFECT_API_URL or online.servers.prefect to its /api",
        )


def ask(folder: Path) -> None:
    """Ask what must be answered before a run goes on, and journal the answer. Where nothing or nobody is, return."""
    run = OnlineRun(folder)
    question = run.open_question()
    if question is None or not somebody(run.config.people):
        _go_on_after_a_stop(run, question)
        return
    write_online_report(folder)
    show_question(run, question)
    patience = run.config.people.patience_s
    until, wrong = time.monotonic() + patience, ""
    while True:
        values = wait_for_answer(form_of(run, question, wrong=wrong), until)
        try:
            answer = no_answer(patience) if values is None else answer_of(question, values)
            if answer.grants:
                demand_no_stop(stop_file(run))
            run.decide(question, answer)
            return
        except (ParameterError, EmergencyStopError) as error:
            wrong = str(error)
            print(f"run {run.name!r}: an answer could not be taken: {wrong}", file=sys.stderr)


def _go_on_after_a_stop(run: OnlineRun, question: Question | None) -> None:
    """Where nobody can be asked about an emergency stop, that the file is gone and the run started again is the answer.

    Raises:
        EmergencyStopError: the file is still there.
    """
    if question is not None and question.subject == EMERGENCY_STOP:
        demand_no_stop(stop_file(run))
        run.decide(question, file_removed())


def show_question(run: OnlineRun, question: Question) -> None:
    """The evidence as an artifact, which stays when the form is gone."""
    key = artifact_key(run.name, f"question-{question.subject}-{question.round:03d}-{question.number}")
    text = evidence_text(run, question)
    patiently(lambda: create_markdown_artifact(key=key, markdown=text, description=f"Run {run.name} asks"))


def wait_for_answer(form: type[RunInput], until: float) -> Mapping[str, Any] | None:
    """Pause this flow run until its form is filled in; what was filled in, or None when time is up.

    Prefect's own ``pause_flow_run`` ends the run when time is up or its server is restarted; here both are survived.

    Raises:
        RunError: the flow run was cancelled meanwhile: the question stands, and is asked at the next start.
    """
    flow_run = _flow_run()
    left_s = max(0.0, until - time.monotonic())
    paused: State[Any] = Paused(timeout_seconds=math.ceil(left_s) + GRACE_S, pause_key=uuid4().hex)
    keys = keyset_from_paused_state(paused)
    paused.state_details.run_input_keyset = {str(key): name for key, name in keys.items()}
    patiently(lambda: form.save(keys, flow_run_id=flow_run))
    print(f"waiting {left_s:.0f} s for an answer at {ui_address(str(flow_run))}", file=sys.stderr)
    with get_client(sync_client=True) as client:
        _demand_accepted(patiently(lambda: client.set_flow_run_state(flow_run, paused)))
        while (left_s := until - time.monotonic()) > 0 and _is_paused(client, flow_run, patience_s=left_s + PATIENCE_S):
            time.sleep(min(LOOK_S, left_s))
        in_time = not _is_paused(client, flow_run)
        if not in_time:
            patiently(lambda: client.set_flow_run_state(flow_run, Running(message="Nobody answered."), force=True))
    # An answer may have come in the very last moment.
    found = cast("dict[str, Any]", patiently(lambda: read_flow_run_input(keys["response"], flow_run_id=flow_run)))
    return found or ({} if in_time else None)


def _demand_accepted(result: OrchestrationResult[Any]) -> None:
    if result.status != SetStateStatus.ACCEPT:
        raise RunError(
            "the Prefect server does not let the flow run wait for an answer",
            limit=str(getattr(result.details, "reason", result.status.value)),
            remedy="start it again: it asks again",
        )


def _is_paused(client: SyncPrefectClient, flow_run: UUID, *, patience_s: float = PATIENCE_S) -> bool:
    state = patiently(lambda: client.read_flow_run(flow_run), patience_s=patience_s).state
    if state is None or state.is_final() or state.is_cancelling():
        raise RunError(
            f"the flow run became {state.name if state else 'unknown'} while it waited for an answer",
            where=ui_address(str(flow_run)),
            limit="nothing was decided",
            remedy="start it again: it asks again",
        )
    return state.is_paused()


def _flow_run() -> UUID:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RunError("nobody can be asked outside a flow run", remedy="start it by `python -m flows.finetune`")
    return context.flow_run.id
