"""People in the loop, for real: a Prefect server, a run that pauses, and answers given as its UI gives them."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from offline_to_online.dataset.files import read_json
from offline_to_online.errors import ParameterError
from offline_to_online.online.config import PeopleConfig
from offline_to_online.online.people import RAISE_BUDGET, Answer, Question
from offline_to_online.online.run import OnlineRun
from tests.flows.as_the_ui import answer, asked, flow_run, halting
from tests.flows.conftest import Server, change_online, kill, start, use_server

ADA = {"name": "Ada", "reason": "looked at the arm"}
ENOUGH = {"support_drift": {"limit": 1.0}}


def ended(process: subprocess.Popen[str]) -> str:
    """What a run says at its end, which is a good one."""
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return out


def decided(folder: Path) -> list[tuple[Any, ...]]:
    """Decisions in the journal: subject, round, answer, name."""
    rows = [record.data for record in OnlineRun(folder).journal.of("decision")]
    return [(row["subject"], row["round"], row["answer"], row["name"]) for row in rows]


def test_a_halted_run_is_approved_and_then_rejected(workplace: Path, api: httpx.Client) -> None:
    """Seen paused with its evidence; approved it goes on with the round; rejected it ends, in a person's name."""
    folder = halting(workplace, api)
    process = start(workplace, "flows.finetune")
    first, text = asked(api, folder)
    assert "Run run-001, round 1: The safety gate halted it" in text
    assert "| support_drift | **no** |" in text
    assert "| episode | success | interventions | support_drift | cost | score |" in text
    assert "report.html" in text
    assert (folder / "report.html").is_file()
    # While it waits, its robot is nobody else's.
    _, refused = (other := start(workplace, "flows.finetune", "--run", "another")).communicate(timeout=900)
    assert other.returncode == 2
    assert f"in use by run 'run-001' (process {process.pid} on " in refused
    # The server itself refuses what the form cannot be.
    assert answer(api, folder, answer="aprove", **ADA) == "REJECT"
    assert answer(api, folder, answer="approve", name=" ", reason="hurry") == "ACCEPT"
    again, text = asked(api, folder, not_in=(first,))
    assert "Your last answer could not be taken:** no name" in text
    assert answer(api, folder, answer="approve", **ADA) == "ACCEPT"
    _, text = asked(api, folder, not_in=(first, again))
    assert "round 2: The safety gate halted it" in text
    assert answer(api, folder, answer="reject", name="Bob", reason="enough") == "ACCEPT"
    out = ended(process)
    assert "rejected by Bob: enough" in out
    assert decided(folder) == [("safety", 1, "approve", "Ada"), ("safety", 2, "reject", "Bob")]
    summary = read_json(folder / "summary.json")
    assert (summary["halted"], summary["accepted"] + summary["rejected"]) == (True, 1)
    assert flow_run(api, folder)["state"]["type"] == "COMPLETED"


def test_a_raised_budget_lets_it_go_on_under_the_new_limit(workplace: Path, api: httpx.Client) -> None:
    """A lower limit and a rule that is none are asked again, saying so; a higher limit is journaled and in force."""
    folder = halting(workplace, api)
    process = start(workplace, "flows.finetune")
    seen = [asked(api, folder)[0]]
    for rule, limit, message in (
        ("support_drift", 0.0, "above the one in force, 0.0"),
        ("support_drft", 1.0, "did you mean 'support_drift'?"),
    ):
        answer(api, folder, answer="raise_budget", rule=rule, new_limits={"limit": limit}, **ADA)
        state, text = asked(api, folder, not_in=tuple(seen))
        assert message in text
        seen.append(state)
    answer(api, folder, answer="raise_budget", rule="support_drift", new_limits={"limit": 1.0}, **ADA)
    ended(process)
    assert decided(folder) == [("safety", 1, "raise_budget", "Ada")]
    run = OnlineRun(folder)
    assert run.journal.of("decision")[0].data["raised"] == ENOUGH
    assert run.limits("safety")["support_drift"]["limit"] == 1.0
    summary = read_json(folder / "summary.json")
    assert (summary["halted"], summary["rounds"]) == (False, 2)


def test_silence_ends_it(workplace: Path, api: httpx.Client) -> None:
    """Nobody answers in time: journaled as a no, and the run ends as a halted one, the flow run completed."""
    folder = halting(workplace, api, patience_s=3)
    out = ended(start(workplace, "flows.finetune"))
    assert "no answer within 3 s" in out
    assert decided(folder) == [("safety", 1, "timeout", "nobody")]
    assert read_json(folder / "summary.json")["halted"]
    states = api.post(f"/flow_run_states/?flow_run_id={flow_run(api, folder)['id']}").json() or []
    assert flow_run(api, folder)["state"]["type"] == "COMPLETED", states


def test_killed_while_it_waits_it_asks_again_but_never_twice(workplace: Path, api: httpx.Client) -> None:
    """The flow run that waited is closed and another one asks; once an answer is journaled, nobody is asked."""
    folder = halting(workplace, api)
    killed = start(workplace, "flows.finetune")
    before = asked(api, folder)[0]
    closed = flow_run(api, folder)["id"]
    kill(killed)
    killed = start(workplace, "flows.finetune")
    asked(api, folder, not_in=(before,))
    assert api.get(f"/flow_runs/{closed}").json()["state"]["type"] == "CRASHED"
    kill(killed)
    run = OnlineRun(folder)
    question = run.open_question()
    assert question == Question(subject="safety", round=1, reason=run.halt_reason())
    run.decide(question, Answer(answer=RAISE_BUDGET, raised=ENOUGH, **ADA))
    process = start(workplace, "flows.finetune")
    _, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    assert "waiting" not in err
    assert not read_json(folder / "summary.json")["halted"]
    assert len(decided(folder)) == 1


def test_a_server_that_is_restarted_meanwhile_still_takes_the_answer(workplace: Path, server: Server) -> None:
    """The run that waits for a person waits for the server too, and goes on with the answer."""
    folder = halting(workplace, server.api)
    process = start(workplace, "flows.finetune")
    asked(server.api, folder)
    server.kill()
    time.sleep(5.0)
    server.start()
    asked(server.api, folder)
    answer(server.api, folder, answer="reject", **ADA)
    _, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    assert decided(folder) == [("safety", 1, "reject", "Ada")]
    assert flow_run(server.api, folder)["state"]["type"] == "COMPLETED"


def test_a_candidate_waits_for_a_person(workplace: Path, api: httpx.Client) -> None:
    """With approve_acceptance: rejected, nothing is registered and the reason names who; approved, it is champion."""
    use_server(workplace, api)
    change_online(workplace, people={"patience_s": 900, "approve_acceptance": True})
    folder = workplace / "data" / "online" / "run-001"
    process = start(workplace, "flows.finetune")
    first, text = asked(api, folder)
    assert "May it become champion?" in text
    assert "| acceptance | no_regression | yes |" in text
    assert answer(api, folder, answer="raise_budget", **ADA) == "REJECT"
    assert answer(api, folder, answer="reject", name="Bob", reason="too fast") == "ACCEPT"
    asked(api, folder, not_in=(first,))
    answer(api, folder, answer="approve", **ADA)
    ended(process)
    made = [read_json(folder / "rounds" / k / "decision.json") for k in ("001", "002")]
    assert [(d["accepted"], d.get("version", "")) for d in made] == [(False, ""), (True, "1")]
    assert made[0]["reason"] == "rejected by Bob: too fast"


def test_nobody_is_asked_where_nobody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ephemeral server, or no patience; and a run that could only wait for approvals is refused there."""
    from flows.asking import demand_somebody, somebody

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    assert somebody(PeopleConfig(patience_s=1))
    assert not somebody(PeopleConfig(patience_s=0))
    demand_somebody(PeopleConfig(approve_acceptance=True))
    monkeypatch.delenv("PREFECT_API_URL")
    assert not somebody(PeopleConfig(patience_s=1))
    demand_somebody(PeopleConfig())
    with pytest.raises(ParameterError, match="approve_acceptance without a Prefect server"):
        demand_somebody(PeopleConfig(approve_acceptance=True))
